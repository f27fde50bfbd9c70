package metrics

import (
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/mqttdb/mqttdb/types"
)

// Metrics are those of one gateway. They may be used concurrently.
type Metrics struct {
	*families
	version   string
	committed *prometheus.HistogramVec
	delivered *prometheus.HistogramVec
}

// New returns the metrics of a gateway of that version.
func New(version string) *Metrics {
	return &Metrics{
		families: newFamilies(),
		version:  version,
		committed: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "mqttdb_queue_commit_duration_seconds",
			Help:    "Time from the first message of a commit until its publishers are answered, once for each commit.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}, queueLabels()),
		delivered: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "mqttdb_queue_delivery_duration_seconds",
			Help:    "Time from the acceptance of a message until its broker has acknowledged it (QoS 0: until it is written), also over restarts.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 60, 5 * 60, 30 * 60, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600},
		}, queueLabels()),
	}
}

// Latencies are those to be told of a queue of a connection.
func (m *Metrics) Latencies(connection string, queue types.QueueName) types.Latencies {
	committed := m.committed.WithLabelValues(connection, string(queue))
	delivered := m.delivered.WithLabelValues(connection, string(queue))
	return types.Latencies{
		Committed: func(d time.Duration) { committed.Observe(d.Seconds()) },
		Delivered: func(d time.Duration) { delivered.Observe(d.Seconds()) },
	}
}

// maxScrapes are answered at once; more are told to come again (503).
const maxScrapes = 4

// Handler answers scrapes; status is asked for each.
func (m *Metrics) Handler(status func() []types.Status, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry(status), promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
		ErrorHandling:       promhttp.ContinueOnError, // what can be told is
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
	})
}

// registry holds all that there is to tell.
func (m *Metrics) registry(status func() []types.Status) *prometheus.Registry {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "mqttdb_build_info", Help: "The version of the gateway, and of the Go that it was built with; always 1.",
		ConstLabels: prometheus.Labels{"version": m.version, "goversion": runtime.Version()},
	})
	build.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(
		build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collector{m, status},
	)
	return r
}
