/**
 * A storm of kills over asynchronous events, seeded; the long one is `npm run campaign -- events`.
 *
 * Promise (DESIGN §6): once 202 was answered, exactly one end, and none lost, across kill -9 of any process.
 */
import { expect, test } from 'vitest'
import { chanceFrom } from '../seed.ts'
import { everyVictim, failingHandler, rage, startStorm } from './event-storm.ts'

/** The campaign's is longer. */
const seconds = Number(process.env['STORM_SECONDS'] || 15)
const events = Number(process.env['STORM_EVENTS'] || 2_000)
const seed = Number(process.env['SEED'] || Math.floor(Math.random() * 2 ** 32))

test(
  `every event ends once, whoever is killed (SEED=${seed})`,
  async () => {
    const storm = await startStorm()
    try {
      await storm.deploy('fails', failingHandler(0.1))
      await storm.tell('fails', 'ok', 'bad')
      const tally = await rage(storm, {
        functionName: 'fails',
        events,
        seconds,
        killEveryMs: 1_000,
        chance: chanceFrom(seed),
        victims: everyVictim,
        say: console.log,
      })
      console.log(
        `SEED=${seed}: ${tally.accepted} accepted, ${tally.unknown} unknown, ${tally.succeeded} succeeded, ${tally.failed} failed, ${tally.attempts} attempts, of which ${tally.doubledSuccesses} had succeeded before`,
      )
      expect(tally).toMatchObject({ lost: [], doubled: [] })
      expect(tally.accepted).toBeGreaterThan(0.75 * events)
    } finally {
      await storm.stop()
    }
  },
  (seconds + 225) * 1_000,
)
