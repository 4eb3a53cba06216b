/**
 * Chance that can be repeated: every property prints its seed when it fails, and `SEED=123 npm test` plays all of them from
 * that one. Whoever imports this gets it.
 */
import fc from 'fast-check'

const given = process.env['SEED']
if (given !== undefined && given !== '') fc.configureGlobal({ seed: Number(given) })

/** Whole numbers from 0 to `below` - 1, as a property draws them: how simulations take their chances. */
export type Chance = (below: number) => number

/** What a property gives to a simulation: an endless supply of chance. */
export const anyChance: fc.Arbitrary<Chance> = fc
  .infiniteStream(fc.nat(0xff_ff_ff))
  .map((stream) => (below) => (stream.next().value as number) % below)

/** A chance of its own from a seed, for what plays outside a property. Source: W. Press et al., "Numerical Recipes", ranqd1. */
export function chanceFrom(seed: number): Chance {
  let state = seed >>> 0
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  // Seeds that follow each other begin almost alike.
  for (let step = 0; step < 8; step++) next()
  return (below) => Math.floor(next() * below)
}
