package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
)

// The figure, in pixels.
const (
	width, height       = 960, 380
	left, right         = 70, 16
	top, bottom         = 44, 40
	plotWide, plotHigh  = width - left - right, height - top - bottom
	colorBefore         = "#d9822b"
	colorAfter          = "#2f6fb2"
	colorText, colorFew = "#333", "#ddd"
)

// ticks are the marks of the vertical axis. It is scaled by the square root, so that a
// night of all tenants and a night of an even share are both visible.
var ticks = []int{0, 500, 2_000, 6_000, 20_000, 50_000, 100_000}

// draw shows the nights of two lives on the same axes, as an SVG.
func draw(before, after life) []byte {
	highest := 0
	for _, n := range before.nights {
		highest = max(highest, n)
	}
	y := func(n int) float64 {
		return top + plotHigh*(1-math.Sqrt(float64(n)/float64(highest)))
	}
	step := float64(plotWide) / float64(len(before.nights))
	b := &bytes.Buffer{}
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" fill="%s">`+"\n", width, height, colorText)
	fmt.Fprintf(b, "<title>Rotations in each night after an import on one day, with a spread of %s and without</title>\n", after.spread)
	fmt.Fprintf(b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	for _, n := range ticks {
		if n > highest {
			break
		}
		fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="%s"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left, y(n), width-right, colorFew, left-8, y(n)+4, thousands(n))
	}
	for day := 0; day <= len(before.nights); day += 90 {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", left+float64(day)*step, height-bottom+18, day)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">day after the import</text>`+"\n", left+plotWide/2, height-6)
	for i, l := range []life{before, after} {
		color := []string{colorBefore, colorAfter}[i]
		fmt.Fprintf(b, `<rect x="%d" y="14" width="12" height="12" fill="%s"/><text x="%d" y="25">spread %s: %s in the busiest night</text>`+"\n",
			left+300*i, color, left+300*i+18, l.spread, thousands(busiest(l)))
		fmt.Fprintf(b, `<path fill="%s" d="%s"/>`+"\n", color, bars(l, step, y))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// bars is a path with one bar for each night, always wide enough to be visible.
func bars(l life, step float64, y func(int) float64) string {
	var b strings.Builder
	for night, n := range l.nights {
		if n > 0 {
			fmt.Fprintf(&b, "M%.1f %.1fV%.1fh%.1fV%.1fz", left+float64(night)*step, y(0), y(n), max(step, 2), y(0))
		}
	}
	return b.String()
}

func busiest(l life) int {
	most := 0
	for _, n := range l.nights {
		most = max(most, n)
	}
	return most
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
