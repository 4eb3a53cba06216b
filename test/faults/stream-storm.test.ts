/**
 * A storm of kills over a stream, seeded; the long one is `npm run campaign -- streams`.
 *
 * Promise (DESIGN §6): whatever dies, each key's records are seen in order, and none is missing.
 */
import { expect, test } from 'vitest'
import { chanceFrom } from '../seed.ts'
import { startStreamCrew } from './stream-crew.ts'
import { orderOf, rageOverStream } from './stream-storm.ts'

/** The campaign's is longer. */
const seconds = Number(process.env['STORM_SECONDS'] || 14)
const numbers = Number(process.env['STORM_NUMBERS'] || 60)
const keys = Number(process.env['STORM_KEYS'] || 100)
const seed = Number(process.env['SEED'] || Math.floor(Math.random() * 2 ** 32))

test('the oracle sees gaps and inversions, and lets repeats be', () => {
  const judge = (text: string) => orderOf(text.split(', '), ['a', 'b'], 3)
  expect(judge('a 0, a 1, b 0, a 0, a 1, a 2, b 1, b 2')).toMatchObject({
    repeats: 2,
    inversions: [],
    missing: [],
  })
  expect(judge('a 0, a 2, a 1, b 0, b 1, b 2')).toMatchObject({
    inversions: ['a 2 on line 2, where 1 was due'],
    missing: [],
  })
  expect(judge('a 0, a 1, a 2, b 0, b 2').missing).toEqual(['b 1'])
})

test(
  `each key is in order and nothing is missing, whoever is killed (SEED=${seed})`,
  async () => {
    const crew = await startStreamCrew({
      poller: 2,
      leasing: 2,
      'stream-tracker': 2,
      'front-end': 2,
    })
    try {
      const tally = await rageOverStream(crew, {
        stream: 'ordered',
        functionName: 'ordered',
        keys,
        numbers,
        seconds,
        killEveryMs: 2_000,
        otherEvery: 2,
        chance: chanceFrom(seed),
        say: console.log,
      })
      const killed = Object.entries(tally.kills).map(([role, count]) => `${count} × ${role}`)
      console.log(
        `SEED=${seed}: ${keys} keys × ${numbers}: ${tally.seen} seen, ${tally.repeats} repeats, ${tally.inversions.length} inversions, ${tally.missing.length} missing, ${tally.setbacks.length} checkpoints went back; killed ${killed.join(', ')}; put in ${(tally.puttingMs / 1_000).toFixed(1)} s, through ${(tally.calmMs / 1_000).toFixed(1)} s later`,
      )
      const { inversions, missing, setbacks } = tally
      const few = (all: readonly string[]) => all.slice(0, 20)
      expect([few(inversions), few(missing), few(setbacks)]).toEqual([[], [], []])
    } finally {
      await crew.stop()
    }
  },
  (seconds + 225) * 1_000,
)
