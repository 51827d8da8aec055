"""The demonstration that tests/demo runs, told to a stranger.

    __main__.py  what is shown, in which order
    hosts.py     the first two acts: VMs that move between two hosts, with and without a drive for their context
    sites.py     the third: a VM that moves to a site where all has other names
    telling.py   how it is told
"""
