# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_virt_recontext_global_optspecs
    string join \n h/help V/version
end

function __fish_virt_recontext_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_virt_recontext_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_virt_recontext_using_subcommand
    set -l cmd (__fish_virt_recontext_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -s h -l help -d 'Print help'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -s V -l version -d 'Print version'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "enable" -d 'Let VMs take part: mark their XML, and find or add their drives'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "disable" -d 'Stop VMs from taking part, and take our discs out of their drives'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "set" -d 'Give a VM facts and small files of its own, which travel with it'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "unset" -d 'Take facts and files away that a VM carries'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "preview" -d 'Show what would be on a VM\'s disc, made now on this host'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "build" -d 'Write the disc of a domain\'s XML to a file'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "check" -d 'Check a directory of configuration, on this host or in a checkout'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "refresh" -d 'Bring the discs of running VMs up to date, if their content changed'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "rewrite" -d 'Change VMs\' definitions by this host\'s rules, as when they come'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "status" -d 'Show what became of the discs of this host\'s VMs'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "doctor" -d 'Check that everything VMs need to get their context is in place'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "deliver" -d 'Do the jobs in the spool; the hook starts this'
complete -c virt-recontext -n "__fish_virt_recontext_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand enable" -l target -d 'The drive for the disc, such as sda; else an empty one' -r
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand enable" -l format -d 'files, nocloud, configdrive or opennebula' -r -f -a "files\t''
nocloud\t''
configdrive\t''
opennebula\t''"
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand enable" -l label -d 'The disc\'s volume label; else that of the format' -r
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand enable" -l all-running -d 'All VMs that are running'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand enable" -l replace -d 'Take out what somebody else has put into the drive'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand enable" -l disk -d 'On a read-only disk, for a paravirtual guest of Xen'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand enable" -l dry-run -d 'Say what would be done, and do nothing'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand enable" -s h -l help -d 'Print help'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand disable" -l all-running -d 'All VMs that are running'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand disable" -s h -l help -d 'Print help'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand set" -l file -d 'The file PATH of the disc, with the text of LOCAL' -r
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand set" -s h -l help -d 'Print help'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand unset" -l file -d 'A file' -r -f -a "(__fish_virt_recontext_words)"
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand unset" -s h -l help -d 'Print help'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand preview" -l xml -d 'A file with a domain\'s XML, instead of a VM; - is stdin' -r -F
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand preview" -l file -d 'Show this file of the disc, instead of a list of all' -r
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand preview" -l explain -d 'Show which layer each file and fact is from'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand preview" -l rewrite -d 'Show what this host\'s rules would change in its XML'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand preview" -s h -l help -d 'Print help'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand build" -l xml -d 'The file with the domain\'s XML; - is stdin' -r -F
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand build" -l output -d 'The image to write; - is stdout' -r -F
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand build" -s h -l help -d 'Print help'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand check" -l with -d 'Judge it as if FILE were at PLACE in it' -r
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand check" -l facts -d 'Facts that stand for what programs print and VMs carry' -r -F
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand check" -l format -d 'Judge discs of this format, too' -r -f -a "files\t''
nocloud\t''
configdrive\t''
opennebula\t''"
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand check" -l name -d 'The name of the VM for which a disc is thought of' -r
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand check" -l uuid -d 'Its UUID' -r
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand check" -l run-programs -d 'Run the programs in facts.d'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand refresh" -l settle -d 'Wait so long first, and do it for all who ask meanwhile' -r
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand refresh" -l spread -d 'Wait a random time first, of up to this, for a fleet' -r
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand refresh" -l all -d 'All running VMs that take part, or that a rule selects'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand refresh" -l force -d 'Change the disc even if it is the same, or held'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand refresh" -l accept-loss -d 'Let go at once of facts that are not printed any more'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand refresh" -s h -l help -d 'Print help'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand rewrite" -l all -d 'All VMs that are defined here, running or not'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand rewrite" -l dry-run -d 'Show what would be changed, and change nothing'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand rewrite" -s h -l help -d 'Print help'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand status" -l wait -d 'Wait until no disc is on its way any more, for up to TIME' -r
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand status" -l all -d 'All VMs, as without a name'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand status" -l json -d 'Print a JSON array, one object per VM'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand status" -l metrics -d 'Print what is recorded, in Prometheus\' text format'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand status" -s v -l verbose -d 'Show all that is known, with times'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand doctor" -l json -d 'Print a JSON array, one object per finding, good ones too'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand doctor" -s v -l verbose -d 'Show what is good, too'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand deliver" -s h -l help -d 'Print help'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "enable" -d 'Let VMs take part: mark their XML, and find or add their drives'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "disable" -d 'Stop VMs from taking part, and take our discs out of their drives'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "set" -d 'Give a VM facts and small files of its own, which travel with it'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "unset" -d 'Take facts and files away that a VM carries'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "preview" -d 'Show what would be on a VM\'s disc, made now on this host'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "build" -d 'Write the disc of a domain\'s XML to a file'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "check" -d 'Check a directory of configuration, on this host or in a checkout'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "refresh" -d 'Bring the discs of running VMs up to date, if their content changed'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "rewrite" -d 'Change VMs\' definitions by this host\'s rules, as when they come'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "status" -d 'Show what became of the discs of this host\'s VMs'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "doctor" -d 'Check that everything VMs need to get their context is in place'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "deliver" -d 'Do the jobs in the spool; the hook starts this'
complete -c virt-recontext -n "__fish_virt_recontext_using_subcommand help; and not __fish_seen_subcommand_from enable disable set unset preview build check refresh rewrite status doctor deliver help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'

# VMs, and what they carry, are known to virt-recontext itself; all else is above.
function __fish_virt_recontext_words
    set -l typed (commandline -opc)
    set -l cur (commandline -ct)
    # Before sudo a plain user completes, whose PATH may lack it.
    set -lx PATH $PATH /usr/sbin
    command -q virt-recontext
    and command virt-recontext complete $typed[2..] "$cur" 2>/dev/null </dev/null
end

complete -c virt-recontext -n "not __fish_virt_recontext_needs_command" -f -a "(__fish_virt_recontext_words)"
