import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type PeerEvent, peerMachine } from '../../machines/peer.ts'
import { live } from './life.ts'
import { storyOf } from './story.ts'

const input = { silenceMs: 900, secondLookMs: 300 }
const story = storyOf(peerMachine, input)

const beat: PeerEvent = { type: 'beat' }
const goodbye: PeerEvent = { type: 'goodbye' }
const probed = (outcome: 'alive' | 'gone' | 'silent' | 'unknown'): PeerEvent => ({
  type: 'probed',
  outcome,
})

test('a peer that is heard is alive, for as long as it is heard again in time', () => {
  expect(story(beat, beat, 'silence')).toMatchInlineSnapshot(`
    "
    (start) → alive      wait 900 ms
    beat    → alive      stop waiting, wait 900 ms
    beat    → alive      stop waiting, wait 900 ms
    silence → suspected  stop waiting, probe
    "
  `)
})

test('a silent peer that answers a probe is alive: it was only busy', () => {
  expect(story('silence', probed('alive'), 'silence', beat)).toMatchInlineSnapshot(`
    "
    (start)      → alive      wait 900 ms
    silence      → suspected  stop waiting, probe
    probed alive → alive      wait 900 ms
    silence      → suspected  stop waiting, probe
    beat         → alive      wait 900 ms
    "
  `)
})

test('a silent peer that nobody finds twice is gone', () => {
  expect(story('silence', probed('gone'), 'secondLook', probed('gone'))).toMatchInlineSnapshot(`
    "
    (start)     → alive           wait 900 ms
    silence     → suspected       stop waiting, probe
    probed gone → missing         wait 300 ms
    secondLook  → lookedForAgain  stop waiting, probe
    probed gone → gone            reportGone
    "
  `)
})

test('a peer that is only dialling the server again is found by the second look', () => {
  expect(story('silence', probed('gone'), 'secondLook', probed('alive'))).toMatchInlineSnapshot(`
    "
    (start)      → alive           wait 900 ms
    silence      → suspected       stop waiting, probe
    probed gone  → missing         wait 300 ms
    secondLook   → lookedForAgain  stop waiting, probe
    probed alive → alive           wait 900 ms
    "
  `)
  expect(story('silence', probed('gone'), beat)).toMatchInlineSnapshot(`
    "
    (start)     → alive      wait 900 ms
    silence     → suspected  stop waiting, probe
    probed gone → missing    wait 300 ms
    beat        → alive      stop waiting, wait 900 ms
    "
  `)
})

test('a peer that is there and does not answer is hung, and gone', () => {
  expect(story('silence', probed('silent'))).toMatchInlineSnapshot(`
    "
    (start)       → alive      wait 900 ms
    silence       → suspected  stop waiting, probe
    probed silent → gone       reportGone
    "
  `)
  expect(story('silence', probed('gone'), 'secondLook', probed('silent'))).toMatchInlineSnapshot(`
    "
    (start)       → alive           wait 900 ms
    silence       → suspected       stop waiting, probe
    probed gone   → missing         wait 300 ms
    secondLook    → lookedForAgain  stop waiting, probe
    probed silent → gone            reportGone
    "
  `)
})

test('a probe that could not be sent proves nothing', () => {
  expect(
    story('silence', probed('unknown'), 'silence', probed('gone'), 'secondLook', probed('unknown')),
  ).toMatchInlineSnapshot(`
    "
    (start)        → alive           wait 900 ms
    silence        → suspected       stop waiting, probe
    probed unknown → alive           wait 900 ms
    silence        → suspected       stop waiting, probe
    probed gone    → missing         wait 300 ms
    secondLook     → lookedForAgain  stop waiting, probe
    probed unknown → alive           wait 900 ms
    "
  `)
})

test('a peer that says goodbye is gone at once', () => {
  expect(story(goodbye)).toMatchInlineSnapshot(`
    "
    (start) → alive  wait 900 ms
    goodbye → gone   stop waiting, reportGone
    "
  `)
})

test('the outcome of a probe that a beat has overtaken changes nothing', () => {
  expect(story('silence', beat, probed('silent'))).toMatchInlineSnapshot(`
    "
    (start)       → alive      wait 900 ms
    silence       → suspected  stop waiting, probe
    beat          → alive      wait 900 ms
    probed silent → alive      ignored
    "
  `)
})

test('whatever was heard before, one whose connection is gone is reported once, after two probes', () => {
  const anyEvent = fc.constantFrom<PeerEvent | 'time passes'>(
    beat,
    goodbye,
    probed('alive'),
    probed('gone'),
    probed('silent'),
    probed('unknown'),
    'time passes',
  )
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 30 }), (events) => {
      const life = live(peerMachine, input)
      let reported = 0
      const count = ({ asked }: typeof life.born) => {
        reported += asked.filter(({ type }) => type === 'reportGone').length
        return asked.some(({ type }) => type === 'probe')
      }
      const pass = () => {
        const [timer] = life.timers.keys()
        return timer !== undefined && count(life.ringTimer(timer))
      }
      for (const event of events) {
        if (event === 'time passes') pass()
        else count(life.take(event))
      }
      // From now on it is dead: probes that are still out find nobody either.
      count(life.take(probed('gone')))
      for (let looks = 0; looks < 3; looks++) if (pass()) count(life.take(probed('gone')))
      expect(life.state).toBe('gone')
      expect(reported).toBe(1)
    }),
  )
})
