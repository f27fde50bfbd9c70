package config

import (
	"fmt"
	"strings"
)

// ValidName says whether a connection may be called name:
// [a-z0-9]([a-z0-9._-]{0,62}[a-z0-9_-])? (S9).
func ValidName(name string) bool {
	if name == "" || len(name) > 64 || strings.ContainsRune("._-", rune(name[0])) || name[len(name)-1] == '.' {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

func connectionPath(connections []Connection, i int) string {
	if name := connections[i].Name; name != "" {
		return "connections." + name
	}
	return fmt.Sprintf("connections[%d]", i)
}

// checkNames complains about names that are not valid or used twice.
func checkNames(p *problems, connections []Connection) {
	used := map[string]bool{}
	for i, c := range connections {
		path, lower := connectionPath(connections, i), strings.ToLower(c.Name)
		switch {
		case c.Name == "":
			p.add(path+".name", "is missing", "")
		case used[lower]:
			p.add(path, "another connection has this name", "names must differ in more than upper and lower case")
		case !ValidName(c.Name):
			p.add(path, "is not a name for a connection",
				"use 1 to 64 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit, not ending with a dot")
		}
		used[lower] = true
	}
}

// checkClientIDs complains about connections that would take each other's
// session over at the broker.
func checkClientIDs(p *problems, connections []Connection) {
	used := map[[2]string]string{}
	for i, c := range connections {
		for _, broker := range c.Brokers() {
			u, err := ParseBroker(broker)
			if err != nil || c.ClientID == "" {
				continue
			}
			key := [2]string{u.Host, c.ClientID}
			if other, ok := used[key]; ok && other != c.Name {
				p.add(connectionPath(connections, i)+".client_id", "connection "+other+" has the same at this broker",
					"the broker would let only one of them in: choose another")
				break
			}
			used[key] = c.Name
		}
	}
}
