package httpapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/mqttdb/mqttdb/web"
)

// file is part of the program: of the status page, or the description of the API. It is
// safe for concurrent use.
type file struct {
	kind string // its Content-Type
	tag  string // of its content, for ETag
	text []byte

	once   sync.Once
	packed []byte // by gzip; made when somebody asks for it first; nil: no gain
}

func newFile(kind string, text []byte) *file {
	sum := sha256.Sum256(text)
	return &file{kind: kind, tag: hex.EncodeToString(sum[:12]), text: text}
}

// pageRoutes are those of the status page: it is shown without a token, and asks for it.
func pageRoutes() (list []route) {
	err := fs.WalkDir(web.Files(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(web.Files(), name)
		if err != nil {
			return err
		}
		at := "/" + name
		if name == "index.html" {
			at = "/{$}"
		}
		list = append(list, route{"GET", at, newFile(kindOf(name), text).serve, true, 0})
		return nil
	})
	if err != nil {
		panic(err) // they are part of the program
	}
	return list
}

// kindOf does not ask the system, which may say otherwise.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "text/plain; charset=utf-8"
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", web.ContentSecurityPolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // kept, but asked for: the gateway may be another next time
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Type", f.kind)
	text, tag := f.text, f.tag
	if takesGzip(r) {
		f.once.Do(f.pack)
		if f.packed != nil {
			text, tag = f.packed, tag+"-gzip"
			h.Set("Content-Encoding", "gzip")
		}
	}
	tag = `"` + tag + `"`
	h.Set("ETag", tag)
	if known := r.Header.Get("If-None-Match"); strings.TrimPrefix(known, "W/") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(text) // the client is gone then
}

func (f *file) pack() {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // a level that there is
	_, _ = z.Write(f.text)                                // nor can b fail
	_ = z.Close()
	if b.Len() < len(f.text) {
		f.packed = b.Bytes()
	}
}

// takesGzip says whether an answer to r may be compressed.
func takesGzip(r *http.Request) bool {
	for each := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, weight, weighed := strings.Cut(strings.ReplaceAll(each, " ", ""), ";")
		if strings.EqualFold(coding, "gzip") {
			return !weighed || strings.Trim(weight, "q=0.") != "" // q=0 is a no
		}
	}
	return false
}
