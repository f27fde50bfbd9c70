package main

import (
	"fmt"
	"strings"
)

// part is something by others in our programs.
type part struct {
	name    string // path and version of a module, or what its README says of a vendored one
	licence licence
}

const intro = `THIRD-PARTY NOTICES

mqttdb itself is under the Apache License 2.0, which stands in the file LICENSE.
Its programs contain what is listed here, each under the licence named beside it;
the texts follow below. The library links fewer of them than the gateway does.

Written by "make notices" from the modules that are linked, and from what the status
page has of others: do not edit.

`

// render writes the notices: a list, then each text once, headed by the parts
// that it belongs to.
func render(parts []part) string {
	var b strings.Builder
	b.WriteString(intro)
	for _, p := range parts {
		fmt.Fprintf(&b, "  %-80s %s\n", p.name, strings.Join(p.licence.names, " and "))
		if p.licence.remark != "" {
			fmt.Fprintf(&b, "    (%s)\n", p.licence.remark)
		}
	}
	texts(&b, parts, "Licence of", func(l licence) string { return l.text })
	texts(&b, parts, "Notice of", func(l licence) string { return l.notice })
	return b.String()
}

// texts writes each different text that the parts have once.
func texts(b *strings.Builder, parts []part, heading string, of func(licence) string) {
	var order []string
	names := map[string][]string{}
	for _, p := range parts {
		text := strings.TrimRight(strings.ReplaceAll(of(p.licence), "\r\n", "\n"), "\n")
		if text == "" {
			continue
		}
		if names[text] == nil {
			order = append(order, text)
		}
		names[text] = append(names[text], p.name)
	}
	for _, text := range order {
		fmt.Fprintf(b, "\n%s\n%s\n  %s\n\n%s\n", strings.Repeat("=", 80), heading, strings.Join(names[text], "\n  "), text)
	}
}
