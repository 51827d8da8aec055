# VMs, and what they carry, are known to virt-recontext itself; all else is below.
_virt_recontext_words() {
    local line=${COMP_LINE:0:COMP_POINT} cur typed known word IFS=$' \t\n'
    # bash has broken its own words at = : @ too. A backslash before a blank counts; words in quotes are not completed.
    # shellcheck disable=SC2162
    read -a typed <<<"$line"
    [[ $line != *[!\\][[:blank:]] ]] || typed+=("")
    # Before sudo a plain user completes, whose PATH may lack it.
    if ! known=$(PATH+=:/usr/sbin; command virt-recontext complete "${typed[@]:1}" 2>/dev/null </dev/null); then
        _virt__recontext "$@"
        return
    fi
    compopt +o bashdefault +o default
    COMPREPLY=()
    cur=${typed[-1]}
    [[ $cur != -*=* ]] || cur=${cur#*=}
    while IFS= read -r word; do
        [[ $word == "$cur"* ]] || continue
        # Only what is after bash's last break of words is replaced.
        word=${word#"${cur%"${2//\\/}"}"}
        [[ -z $word ]] || COMPREPLY+=("$(printf %q "$word")")
    done <<<"$known"
    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
}
