package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"github.com/mqttdb/mqttdb/httpapi"
	"github.com/mqttdb/mqttdb/runtime"
	"github.com/mqttdb/mqttdb/types"
)

// description is the description of the API, and a way to compare answers with it.
type description struct {
	validator.Validator
	model *v3.Document
}

func described(t *testing.T) description {
	t.Helper()
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(document)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	model, err := document.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	return description{v, &model.Model}
}

// check compares an answer with the description, and the request if it was accepted.
func (d description) check(t *testing.T, method, url string, code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	kind := "application/json"
	switch {
	case strings.HasSuffix(req.URL.Path, "/export") && code == http.StatusOK:
		return // lines of JSON: docs/formats.md and package archive have them
	case req.URL.Path == "/metrics":
		kind = "text/plain; version=0.0.4"
	}
	res := &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body))}
	ok, errs := d.ValidateHttpResponse(req, res)
	if ok && code < 300 {
		ok, errs = d.ValidateHttpRequest(req)
	}
	for _, e := range errs {
		t.Errorf("%s %s is not as described: %s: %s", method, req.URL.Path, e.Message, e.Reason)
		for _, s := range e.SchemaValidationErrors {
			t.Errorf("  %s: %s", s.FieldPath, s.Reason)
		}
	}
	if !ok && len(errs) == 0 {
		t.Errorf("%s %s is not as described", method, req.URL.Path)
	}
}

// operations lists what is described as "METHOD path".
func (d description) operations() map[string]*v3.Operation {
	found := map[string]*v3.Operation{}
	for path, item := range d.model.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			op.Parameters = append(op.Parameters, item.Parameters...)
			found[strings.ToUpper(method)+" "+path] = op
		}
	}
	return found
}

// The description is OpenAPI, and has the routes that there are, no more and no less.
func TestDescription(t *testing.T) {
	api := described(t)
	if ok, errs := api.ValidateDocument(); !ok {
		t.Errorf("%v", errs)
	}
	s := listen(t, &fakeRuntime{}, func(o *httpapi.Options) { o.Demo = func(string) error { return nil } })
	operations := api.operations()
	for _, r := range s.Routes() {
		op := operations[r]
		if op == nil {
			t.Errorf("%s is not described", r)
			continue
		}
		delete(operations, r)
		_, path, _ := strings.Cut(r, " ")
		if open := path == "/healthz" || path == "/readyz"; open != (op.Security != nil) {
			t.Errorf("%s: security is %v", r, op.Security)
		}
	}
	for r := range operations {
		t.Errorf("%s is described, and there is no such route", r)
	}
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	res, served := get(t, "http://"+s.Addr().String()+"/api/openapi.json")
	if res.StatusCode != 200 || served != string(text) || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s, %d bytes", res.Status, len(served))
	}
}

// What is described of parameters is what is obeyed: a number that is none is refused.
func TestDescribedParameters(t *testing.T) {
	s := listen(t, &fakeRuntime{}, func(o *httpapi.Options) {})
	fill := strings.NewReplacer("{name}", "cloud", "{seq}", "5", "{consumer}", "alarms%201")
	tried := 0
	for r, op := range described(t).operations() {
		method, path, _ := strings.Cut(r, " ")
		if strings.HasPrefix(path, "/api/demo/") {
			continue
		}
		for _, p := range op.Parameters {
			schema := p.Schema.Schema()
			if p.In != "query" || schema.Type[0] == "string" && schema.Pattern == "" && p.Name != "wait" {
				continue
			}
			tried++
			query := "?topic=a&timeout=1ms&"
			if p.Name == "timeout" {
				query = "?topic=a&"
			}
			code, text := call(t, method, "http://"+s.Addr().String()+fill.Replace(path)+query+p.Name+"=nonsense", "", nil)
			if code != http.StatusBadRequest || !strings.Contains(text, p.Name) {
				t.Errorf("%s with %s=nonsense: %d %s", r, p.Name, code, text)
			}
		}
	}
	if tried < 20 {
		t.Errorf("only %d parameters", tried)
	}
}

// Everything that an answer can have is described: also what is left out when it is
// empty.
func TestDescribedAnswers(t *testing.T) {
	api := described(t)
	status := filled[types.Status]()
	status.State, status.Outgoing.Limits.Overflow, status.Incoming.Limits.Overflow = types.Refused, "drop_oldest", "reject"
	rt := &fakeRuntime{statuses: []types.Status{status}, last: new(filled[httpapi.Reload]())}
	s := listen(t, rt, func(o *httpapi.Options) {})
	s.Note(filled[httpapi.Event]())
	base := "http://" + s.Addr().String()
	for _, path := range []string{"/api/connections", "/api/connections/text", "/api/reload", "/api/events?after=0&limit=5", "/api/history", "/api/history?connection=text", "/healthz"} {
		code, text := call(t, "GET", base+path, "", nil)
		if code != 200 {
			t.Errorf("%s: %d", path, code)
		}
		api.check(t, "GET", base+path, code, text)
	}
	code, text := call(t, "GET", base+"/readyz", "", nil)
	api.check(t, "GET", base+"/readyz", code, text)
	message := httpapi.MessageOf(&types.Stored{Seq: 1, Accepted: time.Unix(1, 0), Cause: "why", Original: time.Unix(1, 0)})
	for path, answers := range map[string]any{
		"/api/connections/cloud/messages":  []httpapi.Message{message},
		"/api/connections/cloud/consumers": []types.ConsumerStatus{{Kind: types.RelayConsumer, Left: new(time.Unix(1, 0))}},
	} {
		text, err := json.Marshal(answers)
		if err != nil {
			t.Fatal(err)
		}
		api.check(t, "GET", base+path, 200, string(text))
	}
	reloaded, err := json.Marshal(filled[runtime.Reloaded]())
	if err != nil {
		t.Fatal(err)
	}
	api.check(t, "POST", base+"/api/reload", 200, string(reloaded))
}

// filled returns a T in which nothing is empty.
func filled[T any]() (out T) {
	fill(reflect.ValueOf(&out).Elem())
	return out
}

func fill(v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Unix(1, 0).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	}
}

// A check that cannot fail proves nothing.
func TestDescriptionNotices(t *testing.T) {
	api := described(t)
	for _, body := range []string{`{"cleared": 7, "more": 1}`, `{}`, `{"cleared": "7"}`, `[]`} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://x/api/connections/cloud/clear", nil)
		if err != nil {
			t.Fatal(err)
		}
		res := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
		if ok, _ := api.ValidateHttpResponse(req, res); ok {
			t.Errorf("%s is taken for what is described", body)
		}
	}
}
