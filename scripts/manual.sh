#!/bin/sh
# Prints the manual page of a mqttdb program, mqttdb(1), from what its --help says.
#   scripts/manual.sh PROGRAM VERSION DATE
set -eu
program=$1

# Text as it is: what roff takes for commands is escaped.
verbatim() {
	echo .nf
	sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^\([.']\)/\\\\\&\1/"
	echo .fi
}

echo ".TH MQTTDB 1 \"$3\" \"mqttdb $2\" \"mqttdb\""
cat <<'END'
.SH NAME
mqttdb \- a durable MQTT store\-and\-forward gateway
.SH SYNOPSIS
.B mqttdb
.I command
.RI [ arguments ]
.SH DESCRIPTION
END
"$program" help | verbatim
echo ".SH COMMANDS"
"$program" __complete '' 2>/dev/null | sed -n 's/^\([a-z]*\)\t.*/\1/p' | while read -r command; do
	echo ".SS mqttdb $command"
	"$program" help "$command" | verbatim
done
cat <<'END'
.SH FILES
.TP
.I /etc/mqttdb/mqttdb.yaml
the configuration, if there is no
.I mqttdb.yaml
in the present folder and none is named by
.BR \-\-config .
.B mqttdb init
writes one with every key explained.
.TP
.I /var/lib/mqttdb
the queues of the gateway that systemd runs
.SH EXIT STATUS
0: done, 1: failed, 2: wrong usage.
.SH SEE ALSO
.BR mosquitto (8),
.BR systemctl (1)
END
