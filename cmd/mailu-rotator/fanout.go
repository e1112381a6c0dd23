package main

import (
	"context"
	"slices"

	"mailu-rotator/rotator"
)

// observers calls all of them, in this order.
func observers(all ...rotator.Observer) rotator.Observer {
	return func(e rotator.Event) {
		for _, observe := range all {
			observe(e)
		}
	}
}

// tracers calls all of them except nil; a part ends in reverse order.
func tracers(all ...rotator.Tracer) rotator.Tracer {
	all = slices.DeleteFunc(all, func(t rotator.Tracer) bool { return t == nil })
	return func(ctx context.Context, part rotator.Part) (context.Context, func(error)) {
		ends := make([]func(error), 0, len(all))
		for _, trace := range all {
			var end func(error)
			ctx, end = trace(ctx, part)
			ends = append(ends, end)
		}
		return ctx, func(err error) {
			for i := len(ends) - 1; i >= 0; i-- {
				ends[i](err)
			}
		}
	}
}
