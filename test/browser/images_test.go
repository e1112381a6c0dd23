package browsertest

import (
	"bytes"
	"flag"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"mailu-rotator/internal/page/pagetest"
)

// With this flag the images are recreated: go test . -run Images -images
// ../../docs/images, and then pngquant --force --ext .png ../../docs/images/page-*.png.
var images = flag.String("images", "", "write the images of the documents into this directory")

const (
	imageDirectory = "../../docs/images"
	maxImage       = 150 << 10 // bytes
)

func TestTheDocumentsHaveTheirImages(t *testing.T) {
	for _, image := range []struct {
		name, path, scheme string
		width, height      int64
	}{
		{"page-light.png", "/", "light", 1200, 1320},
		{"page-dark.png", "/?sort=urgency#tenants", "dark", 1200, 900},
		{"page-phone.png", "/", "light", 390, 1320},
	} {
		t.Run(image.name, func(t *testing.T) {
			b := visit(t, pagetest.Mixed(300), image.path, screen(image.width, image.height, image.scheme))
			shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			if err != nil {
				t.Fatal(err)
			}
			if *images != "" {
				if err := os.WriteFile(filepath.Join(*images, image.name), shot, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}

			kept, err := os.ReadFile(filepath.Join(imageDirectory, image.name))
			if err != nil {
				t.Fatal(err)
			}
			fresh, err := png.DecodeConfig(bytes.NewReader(shot))
			if err != nil {
				t.Fatal(err)
			}
			old, err := png.DecodeConfig(bytes.NewReader(kept))
			if err != nil {
				t.Fatal(err)
			}

			if old.Width != fresh.Width || old.Height != fresh.Height {
				t.Errorf("it is %d×%d, the page is %d×%d", old.Width, old.Height, fresh.Width, fresh.Height)
			}
			if len(kept) > maxImage {
				t.Errorf("it has %d bytes", len(kept))
			}
		})
	}
}
