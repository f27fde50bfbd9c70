package httpapi_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mqttdb/mqttdb/httpapi"
	"github.com/mqttdb/mqttdb/web"
)

// get fetches a file without letting the client of Go unpack it.
func get(t *testing.T, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// The status page is there without a token, under a policy that lets it run nothing
// from elsewhere.
func TestPage(t *testing.T) {
	s := listen(t, &fakeRuntime{}, func(o *httpapi.Options) { o.Token = token })
	base := "http://" + s.Addr().String()
	for path, kind := range map[string]string{
		"/": "text/html", "/app.js": "text/javascript", "/style.css": "text/css", "/icon.svg": "image/svg+xml",
		"/vendor/uplot/uPlot.iife.min.js": "text/javascript", "/vendor/uplot/LICENSE": "text/plain",
	} {
		res, text := get(t, base+path)
		h := res.Header
		if res.StatusCode != 200 || text == "" || !strings.HasPrefix(h.Get("Content-Type"), kind+"; charset=utf-8") && h.Get("Content-Type") != kind {
			t.Errorf("%s: %s %q", path, res.Status, h.Get("Content-Type"))
		}
		if h.Get("Content-Security-Policy") != web.ContentSecurityPolicy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", path, h)
		}
	}
	for _, path := range []string{"/index.html", "/vendor/", "/static/app.js", "/../web.go", "/vendor/uplot", "//app.js"} {
		if res, _ := get(t, base+path); res.StatusCode == 200 {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	if code, _ := call(t, "GET", base+"/", "", func(r *http.Request) { r.Host = "evil.example" }); code != 403 {
		t.Errorf("under a foreign name: %d", code)
	}
	if res, _ := get(t, base+"/", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"); res.StatusCode != 200 {
		t.Errorf("by a link of another site: %s", res.Status)
	}
	if code, _ := call(t, "POST", base+"/", "", nil); code != 404 {
		t.Errorf("POST: %d", code)
	}
}

// It travels once, and packed to whoever can unpack it.
func TestPageIsPackedAndKept(t *testing.T) {
	base := start(t, &fakeRuntime{})
	_, plain := get(t, base+"/app.js")
	for _, c := range []struct {
		accept string
		packed bool
	}{
		{"gzip", true}, {"br, GZIP;q=0.5, *", true}, {"deflate, gzip ; q=1", true},
		{"", false}, {"br", false}, {"gzip;q=0", false}, {"gzip; q=0.000", false}, {"xgzip", false},
	} {
		res, text := get(t, base+"/app.js", "Accept-Encoding", c.accept)
		if packed := res.Header.Get("Content-Encoding") == "gzip"; packed != c.packed || res.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %v", c.accept, res.Header)
		}
		if c.packed {
			z, err := gzip.NewReader(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			unpacked, err := io.ReadAll(z)
			if err != nil || string(unpacked) != plain || len(text) >= len(plain) {
				t.Errorf("%q: %v, %d bytes of %d", c.accept, err, len(text), len(plain))
			}
		}
		tag := res.Header.Get("ETag")
		if again, text := get(t, base+"/app.js", "Accept-Encoding", c.accept, "If-None-Match", tag); again.StatusCode != 304 || text != "" || again.Header.Get("ETag") != tag {
			t.Errorf("%q again: %s", c.accept, again.Status)
		}
		if again, _ := get(t, base+"/app.js", "Accept-Encoding", c.accept, "If-None-Match", `"other"`); again.StatusCode != 200 {
			t.Errorf("%q after a change: %s", c.accept, again.Status)
		}
	}
}
