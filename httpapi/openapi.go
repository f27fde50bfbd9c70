package httpapi

import (
	_ "embed"
	"net/http"
)

// description is the API as OpenAPI 3.1. A test compares it with the routes, with
// their parameters, and with what they answer.
//
//go:embed openapi.json
var description []byte

// describe serves the description.
func describe() http.HandlerFunc {
	return newFile("application/json", description).serve
}
