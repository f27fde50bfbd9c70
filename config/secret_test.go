package config

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// Secrets are never printed, in whatever way a struct that holds one is.
func TestSecretIsNeverPrinted(t *testing.T) {
	const password = "correct-horse"
	c := Config{
		MQTT:        MQTT{Users: []User{{Name: "u", PasswordHash: password}}},
		Connections: []Connection{{Name: "cloud", Broker: "mqtt://gw:" + password + "@host", Proxy: "http://x:" + password + "@p", Username: "gw", Password: password}},
	}
	conn := struct{ P Secret }{password}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", Secret(password), conn, &conn)
	}
	fmt.Fprintln(&out, Secret(password), c.MQTT, c.Connections[0].Endpoint())
	fmt.Fprintf(&out, "%v %+v %s %#v", c, c, c, c.MQTT)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "p", Secret(password), "c", conn)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "p", Secret(password), "c", conn)
	if err := json.NewEncoder(&out).Encode(conn); err != nil {
		t.Fatal(err)
	}
	if err := xml.NewEncoder(&out).Encode(conn.P); err != nil {
		t.Fatal(err)
	}
	err := c.SetDefaultsAndValidate()
	if err == nil {
		t.Fatal("credentials in the URL are accepted")
	}
	fmt.Fprintln(&out, err, c)
	text := strings.ToLower(out.String())
	for _, form := range []string{password, fmt.Sprintf("%x", password)} {
		if strings.Contains(text, form) {
			t.Errorf("the secret is in:\n%s", text)
		}
	}
	if !strings.Contains(text, "(set)") {
		t.Error("nothing says that there is a secret")
	}
}

func TestSecretReveal(t *testing.T) {
	if Secret("x").Reveal() != "x" || Secret("").String() != "" || Secret("x").String() != "(set)" {
		t.Error("Reveal or String is wrong")
	}
}

func TestSecretFrom(t *testing.T) {
	for file, want := range map[string]string{"pw": "pw", "pw\n": "pw", "pw\r\n": "pw", " p w \nmore\n": " p w ", "": "", "\n": ""} {
		if got := SecretFrom([]byte(file)).Reveal(); got != want {
			t.Errorf("SecretFrom(%q) = %q", file, got)
		}
	}
}
