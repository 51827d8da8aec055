# VMs, and what they carry, are known to virt-recontext itself; all else is below.
_virt-recontext_words() {
    local -a known
    # Before sudo a plain user completes, whose PATH may lack it.
    known=(${(f)"$(path+=(/usr/sbin); command virt-recontext complete "${(@)typed}" 2>/dev/null </dev/null)"})
    [[ $known[1] != *= ]] || set -- "$@" -S ''
    compadd "$@" -a known
}
