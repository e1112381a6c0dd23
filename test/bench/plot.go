package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// curve is a line of a plot.
type curve struct {
	name string
	at   plotter.XYs
}

// chart is a plot on two logarithmic axes.
type chart struct {
	title, y string
	curves   []curve
	bound    float64 // upper limit of the points; 0: none
}

// plots returns the plots of docs/performance.md, by file name.
func plots(r results) map[string]chart {
	seconds := func(p point) float64 { return p.Seconds }
	return map[string]chart{
		"growth-time.svg": {"Time of a sweep", "seconds", []curve{
			{"scan, nothing due", along(r.Growth.Scan, seconds)},
			{"all rotated, Mailu cost zero", along(r.Growth.Rotation, seconds)},
		}, 0},
		"growth-memory.svg": {"Peak memory of a scan", "MB", []curve{
			{"on a real Vault", peaks(r.Memory, false)},
			{"on a simulated Vault", peaks(r.Memory, true)},
		}, memoryBound},
	}
}

func along(points []point, y func(point) float64) (at plotter.XYs) {
	for _, p := range points {
		at = append(at, plotter.XY{X: float64(p.Tenants), Y: y(p)})
	}
	return at
}

func peaks(all []peak, simulated bool) (at plotter.XYs) {
	for _, p := range all {
		if p.Simulated == simulated {
			at = append(at, plotter.XY{X: float64(p.Tenants), Y: p.MB})
		}
	}
	return at
}

// decades are the marks of an axis: powers of ten, by name.
type decades struct{}

// Ticks implements plot.Ticker.
func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for power := 1e-3; power <= high*1.01; power *= 10 {
		if power < low*0.99 {
			continue
		}
		label := fmt.Sprintf("%g", power)
		if power >= 1000 {
			label = thousands(fmt.Sprintf("%.0f", power))
		}
		ticks = append(ticks, plot.Tick{Value: power, Label: label})
	}
	return ticks
}

// save draws the chart, unless it has no data.
func (c chart) save(file string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.title, "tenants", c.y
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = decades{}, decades{}
	p.Legend.Top, p.Legend.Left = true, true
	for _, style := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		style.Font.Variant = "Sans"
	}
	p.Add(plotter.NewGrid())
	drawn := false
	for i, curve := range c.curves {
		if len(curve.at) == 0 {
			continue
		}
		drawn = true
		if err := curve.draw(p, i); err != nil {
			return fmt.Errorf("plot %s: %w", c.title, err)
		}
	}
	if !drawn {
		return nil
	}
	if c.bound > 0 {
		p.Add(boundAt(c.bound))
		p.Y.Max = max(p.Y.Max, c.bound)
	}
	// From one power of ten to another, so that a slope can be read off.
	p.X.Min, p.X.Max = powerBelow(p.X.Min), powerAbove(p.X.Max)
	p.Y.Min, p.Y.Max = powerBelow(p.Y.Min), powerAbove(p.Y.Max)
	return write(p, file)
}

func (c curve) draw(p *plot.Plot, i int) error {
	line, points, err := plotter.NewLinePoints(c.at)
	if err != nil {
		return err
	}
	line.Color = []color.Color{color.RGBA{R: 0x1f, G: 0x6f, B: 0xb5, A: 0xff}, color.RGBA{R: 0xc2, G: 0x5a, B: 0x12, A: 0xff}}[i]
	points.Color = line.Color
	line.Width = vg.Points(1.5)
	points.Shape = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}}[i]
	p.Add(line, points)
	p.Legend.Add(c.name, line, points)
	return nil
}

func boundAt(y float64) *plotter.Function {
	bound := plotter.NewFunction(func(float64) float64 { return y })
	bound.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	return bound
}

// write leaves room at the right for half of the last mark, which extends beyond the
// axis.
func write(p *plot.Plot, file string) error {
	canvas := vgsvg.New(14*vg.Centimeter, 9*vg.Centimeter)
	p.Draw(draw.Crop(draw.New(canvas), 0, -vg.Points(24), 0, -vg.Points(4)))
	var drawing bytes.Buffer
	if _, err := canvas.WriteTo(&drawing); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, drawing.Bytes(), 0o644)
}

func powerBelow(v float64) float64 { return math.Pow(10, math.Floor(math.Log10(v))) }

func powerAbove(v float64) float64 { return math.Pow(10, math.Ceil(math.Log10(v))) }
