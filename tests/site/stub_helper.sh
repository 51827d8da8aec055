#!/bin/sh
# Writes down how it was called, beside the root. A child makes each list, so that
# neither the redirection nor what the shell does around it is on it.
new=$VIRT_RECONTEXT_ROOT.helpers.new.$$
mkdir -p "$new" "$VIRT_RECONTEXT_ROOT.helpers"
me=/proc/$$
(/bin/ls -l "$me/fd" > "$new/fds")
(/bin/cat "$me/cmdline" > "$new/cmdline")
(/bin/cat "$me/environ" > "$new/environ")
(/bin/cat "$me/limits" > "$new/limits")
(/bin/cat "$me/stat" > "$new/stat")
(/bin/cat "$me/status" > "$new/status")
/bin/readlink "$me/cwd" > "$new/cwd"
umask > "$new/umask"
/bin/mv "$new" "$VIRT_RECONTEXT_ROOT.helpers/$$"
