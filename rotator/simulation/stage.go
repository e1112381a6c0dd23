package simulation

import (
	"errors"
	"iter"
)

// errKilled unwinds a process that dies in a call.
var errKilled = errors.New("the process died here")

// stage is a coroutine that runs one process after another: a stack that has grown once
// serves thousands of replays.
type stage struct {
	play   func() // the current process; nil: the stage is free
	killed bool
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
}

// stages holds the free stages.
type stages struct{ free []*stage }

func (s *stages) take() *stage {
	if n := len(s.free); n > 0 {
		taken := s.free[n-1]
		s.free = s.free[:n-1]
		return taken
	}
	return newStage()
}

func (s *stages) give(st *stage) { s.free = append(s.free, st) }

func (s *stages) close() {
	for _, st := range s.free {
		st.stop()
	}
}

func newStage() *stage {
	s := &stage{}
	s.next, s.stop = iter.Pull(func(yield func(struct{}) bool) {
		s.yield = yield
		for {
			s.perform()
			if !yield(struct{}{}) {
				return
			}
		}
	})
	return s
}

func (s *stage) perform() {
	defer func() {
		s.play = nil
		if cause := recover(); cause != nil && cause != errKilled { //nolint:errorlint // exactly this value
			panic(cause)
		}
	}()
	s.play()
}

// run runs play until its first call is held, or to the end.
func (s *stage) run(play func()) {
	s.play, s.killed = play, false
	s.next()
}

// hold suspends the process until it is resumed; the process itself calls it.
func (s *stage) hold() {
	s.yield(struct{}{})
	if s.killed {
		panic(errKilled)
	}
}

func (s *stage) resume() { s.next() }

// clear ends the held process.
func (s *stage) clear() {
	if s.play != nil {
		s.killed = true
		s.next()
	}
}
