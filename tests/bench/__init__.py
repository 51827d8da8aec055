"""What virt-recontext costs, measured against its rivals in one run: tests/bench/run.

    run              the command; see its --help
    __main__.py      measures the parts into target/bench/samples, and writes the report of them
    amounts.py       how much is measured
    migration.py, phases.py, guest.py
                     parts that tell of the same migrations, made by
    moves.py           the migrations: in three ways that take turns, on the two hosts of tests/lab
    arrival.py         one of them as libvirt and the logs tell it
    console.py         when the guest said what
    hook.py, disc.py, scale.py, sizes.py
                     the other parts; each measures, judges the goals that it is about, and tells its section
    disc.rs          discs in memory, by the library
    domain.py, content.py
                     a usual VM's XML, and a usual context
    programs.py      our programs, the rivals, and running them in turns
    rivals/          what we compare with: the least hooks, the paper's way in Python; and what runs them
    goals.py         the numbers to reach
    stats.py         medians, ratios, and their intervals
    report.py, machine.py
                     the report, and what it says of the machine
    charts.py, axis.py, svg.py
                     its figures
    report/          the report that is kept, by tests/bench/run --keep
"""
