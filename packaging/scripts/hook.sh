# Our hook among libvirt's, for the scripts of both packages. A link to a program that is gone would be in the way of every
# start of a VM, so it is made last and removed first.
program=/usr/sbin/virt-recontext-hook
hooks=/etc/libvirt/hooks

# The drivers of this host, by the names of their hooks: QEMU's, and Xen's where it is installed.
drivers() {
    echo qemu
    for file in /usr/lib/*/libvirt/connection-driver/libvirt_driver_libxl.so \
        /usr/lib64/libvirt/connection-driver/libvirt_driver_libxl.so \
        /usr/lib/libvirt/connection-driver/libvirt_driver_libxl.so; do
        if [ -e "$file" ]; then
            echo libxl
            return
        fi
    done
}

is_ours() {
    [ -L "$1" ] && [ "$(readlink "$1")" = "$program" ]
}

is_free() {
    ! [ -e "$1" ] && ! [ -L "$1" ]
}

make_links() {
    for driver in $(drivers); do
        make_link "$hooks/$driver"
    done
}

# As hooks/qemu, or beside an administrator's own hook as a file of qemu.d. Theirs is not touched.
make_link() {
    main=$1
    filter=$main.d/50-virt-recontext
    if is_ours "$main" || is_ours "$filter"; then
        return
    elif is_free "$main"; then
        mkdir -p "$hooks"
        ln -s "$program" "$main"
    elif is_free "$filter"; then
        mkdir -p "$main.d"
        ln -s "$program" "$filter"
    else
        echo "virt-recontext: $filter is not ours, so the hook is not in place; see virt-recontext doctor" >&2
    fi
}

remove_links() {
    # Of both drivers, whichever are installed now.
    for driver in qemu libxl; do
        for link in "$hooks/$driver" "$hooks/$driver.d/50-virt-recontext"; do
            if is_ours "$link"; then
                rm -f "$link"
            fi
        done
        rmdir "$hooks/$driver.d" 2>/dev/null || true
    done
}

# libvirt looks for its first hook when it starts or is reloaded. Reloaded: VMs and their connections notice nothing.
reload_daemon() {
    if [ -d /run/systemd/system ]; then
        for unit in libvirtd virtqemud virtxend; do
            if systemctl --quiet is-active "$unit.service"; then
                systemctl reload "$unit.service" || true
            fi
        done
        return
    fi
    for file in /run/libvirtd.pid /run/virtqemud.pid /run/virtxend.pid; do
        if [ -s "$file" ]; then
            kill -HUP "$(cat "$file")" 2>/dev/null || true
        fi
    done
}
