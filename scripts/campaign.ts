/**
 * Long campaigns, by name. Each prints its seeds, and a short slice of it is among the tests.
 *
 *     npm run campaign -- [bad-input] [--seed N] [--minutes M]      bad input for as long as you wish
 *     npm run campaign -- events [--seed N] [--minutes M]           storms of kill -9 over 10,000 events each
 *     npm run campaign -- streams [--seed N] [--minutes M]          storms of kill -9 over 100 keys with 1,000 records each
 *     npm run campaign -- shards [--seed N] [--minutes M]           20 pollers of a shard killed, everything restarted, a million records waiting
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seed: { type: 'string' }, minutes: { type: 'string', default: '1' } },
})
const [name = 'bad-input'] = positionals
const anySeed = () => Math.floor(Math.random() * 2 ** 32)
const path = (relative: string) => fileURLToPath(new URL(`../${relative}`, import.meta.url))

async function run(args: string[], environment: Record<string, string> = {}): Promise<number> {
  const env = { ...process.env, ...environment }
  const child = spawn(process.execPath, args, { stdio: 'inherit', env })
  const [code] = await once(child, 'close')
  return Number(code ?? 1)
}

async function badInput(): Promise<number> {
  const seed = values.seed === undefined ? [] : ['--seed', values.seed]
  const script = path('scripts/campaign-bad-input.ts')
  return run(['--conditions=lambus-source', script, ...seed, '--minutes', values.minutes])
}

/** One storm after the other until the time is over; one at least. Ends with the first that goes wrong. */
async function storms(tests: string[], size: Record<string, string>): Promise<number> {
  const untilMs = performance.now() + Number(values.minutes) * 60_000
  const vitest = path('node_modules/vitest/vitest.mjs')
  let seed = Number(values.seed ?? anySeed())
  do {
    const code = await run([vitest, 'run', ...tests], { SEED: String(seed), ...size })
    if (code !== 0) return code
    seed = (seed + 1) % 2 ** 32
  } while (performance.now() < untilMs)
  return 0
}

const faults = (name: string) => `test/faults/${name}.test.ts`
const campaigns: Record<string, () => Promise<number>> = {
  'bad-input': badInput,
  events: () => storms([faults('event-storm')], { STORM_SECONDS: '60', STORM_EVENTS: '10000' }),
  streams: () => storms([faults('stream-storm')], { STORM_SECONDS: '60', STORM_NUMBERS: '1000' }),
  shards: () =>
    storms(['stream-pollers', 'restart-streams', 'stream-memory'].map(faults), {
      STORM_KILLS: '20',
      STORM_RECORDS: '1000000',
    }),
}
const campaign = Object.hasOwn(campaigns, name) ? campaigns[name] : undefined
if (campaign === undefined) {
  process.stderr.write(
    `No such campaign: ${name}. There are: ${Object.keys(campaigns).join(', ')}.\n`,
  )
  process.exitCode = 2
} else process.exitCode = await campaign()
