#!/bin/bash
# launch.sh N install… command…: the first N words fetch the dependencies while they are missing; then becomes the service.
# The same as doce/process/launch.py, where there is no Python. Nothing here is put together to a line for a shell.
count=$1
install=("${@:2:$count}")
command=("${@:$((count + 2))}")
half="$HOME/.doce-installing"
if [ "$count" -gt 0 ] && { [ ! -d node_modules ] || [ -e "$half" ]; }; then
    : >"$half"
    echo "installing dependencies: ${install[*]}"
    "${install[@]}"
    code=$?
    if [ "$code" -ne 0 ]; then
        echo "error: dependencies could not be installed (exit code $code)"
        exit "$code"
    fi
    rm -f "$half"
fi
exec "${command[@]}"
