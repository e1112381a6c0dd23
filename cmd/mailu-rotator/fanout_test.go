package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"mailu-rotator/rotator"
)

func TestEventsReachAllObservers(t *testing.T) {
	var told []string
	as := func(name string) rotator.Observer {
		return func(e rotator.Event) { told = append(told, name+" "+string(e.Name)) }
	}

	observers(as("log"), as("metrics"))(rotator.Event{Name: rotator.SweepStarted})

	if !slices.Equal(told, []string{"log sweep started", "metrics sweep started"}) {
		t.Errorf("told %q", told)
	}
}

func TestPartsNestInAllTracers(t *testing.T) {
	var told []string
	type key string
	as := func(name string) rotator.Tracer {
		return func(ctx context.Context, part rotator.Part) (context.Context, func(error)) {
			told = append(told, "begin "+name)
			return context.WithValue(ctx, key(name), part.Name), func(err error) { told = append(told, fmt.Sprint("end ", name, " ", err)) }
		}
	}

	ctx, end := tracers(as("metrics"), as("traces"))(t.Context(), rotator.Part{Name: rotator.PartPush})
	end(errors.New("reset"))

	if !slices.Equal(told, []string{"begin metrics", "begin traces", "end traces reset", "end metrics reset"}) {
		t.Errorf("told %q", told)
	}
	if ctx.Value(key("metrics")) != rotator.PartPush || ctx.Value(key("traces")) != rotator.PartPush {
		t.Error("a tracer's context got lost")
	}
}
