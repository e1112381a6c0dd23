package page_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"mailu-rotator/internal/page"
	"mailu-rotator/internal/page/pagetest"
)

func BenchmarkPage(b *testing.B) {
	for _, tenants := range []int{300, 10_000, 100_000} {
		handler := page.New(pagetest.Config(pagetest.Mixed(tenants)))
		for _, query := range []string{"", "?q=customer-4+ok&sort=-age"} {
			b.Run(fmt.Sprintf("%d tenants/%s", tenants, query), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/"+query, nil))
					b.ReportMetric(float64(w.Body.Len()), "bytes/page")
				}
			})
		}
	}
}
