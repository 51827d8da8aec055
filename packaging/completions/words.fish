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
