// Package httpapi is the HTTP interface of a gateway: JSON under /api, made for
// `mqttdb status` and `mqttdb clear`, scripts and the dashboard.
//
//	GET  /api/connections                        all statuses
//	GET  /api/connections/{name}                 one
//	POST /api/connections/{name}/clear           forget what is pending; {"cleared": n}
//	         ?queue=outgoing&topic=FILTER&older_than=DURATION
//	POST /api/connections/{name}/publish         store a message; 201 {"seq": n} once committed
//	         ?topic=TOPIC&qos=1&retain=true      body: the payload
//	POST /api/connections/{name}/pause, …/resume
//	POST /api/connections/{name}/drain           wait until it is empty; {"pending": n}, what was
//	         ?timeout=30s                        left when the time was over
//	POST /api/reload                             read the configuration again; {"added": […],
//	                                             "removed": […], "changed": […]}
//	GET  /api/reload                             how the last time ended; null: there was none
//	GET  /healthz                                200 while the process serves
//
// Errors are {"error": "...", "hint": "..."} with a status code that fits.
package httpapi
