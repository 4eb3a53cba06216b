/**
 * The life of one machine as text: a line for each event, with the state that it leads to and what is asked of the world.
 *
 *     (start)   → booting  startProcess 1, wait 10000 ms
 *     ready 1   → idle     stop waiting
 *
 * An event that the machine has no use for is `ignored`. Parameters are printed as their values: `r1`, `[a b]` for a list,
 * `a/b` for an object inside.
 */
import type { EventFromLogic, InputFrom } from 'xstate'
import type { Asked, HostedMachine } from '../../actors/step.ts'
import { live, type Taken, type Timer } from './life.ts'

/** How a value is printed; undefined: as usual. `key` is the name of the parameter or of the event's field. */
export type Shorten = (key: string, value: unknown) => string | undefined

/** Flags by their names, where they hold: `ahead` for `isAhead: true`. */
export const byName: Shorten = (key, value) => {
  if (typeof value !== 'boolean') return undefined
  return value ? key.replace(/^is(.)/, (_, first: string) => first.toLowerCase()) : ''
}

type Line = { event: string; state: string; asked: string }

/**
 * Plays lives of a machine: events, and the names of delays that pass (`initTimeout`). An event for a machine that is
 * over, and a delay that nobody waits for, are mistakes of the test.
 */
export function storyOf<Machine extends HostedMachine>(
  machine: Machine,
  input: InputFrom<Machine>,
  shorten: Shorten = () => undefined,
): (...events: (EventFromLogic<Machine> | string)[]) => string {
  return (...events) => {
    const life = live(machine, input)
    const lines: Line[] = []
    const note = (event: string, { asked, ignored }: Taken) =>
      lines.push({
        event,
        state: life.state,
        asked: ignored ? 'ignored' : asked.map((each) => printAsked(each, shorten)).join(', '),
      })
    note('(start)', life.born)
    for (const event of events) {
      const name = typeof event === 'string' ? event : printEvent(event, shorten)
      if (life.isOver) throw new Error(`${machine.id} is over before ${name}`)
      note(name, typeof event === 'string' ? life.ring(event) : life.take(event))
    }
    return `\n${table(lines)}\n`
  }
}

function printAsked({ type, params }: Asked, shorten: Shorten): string {
  if (type === 'xstate.raise') return `wait ${(params as Timer).delay} ms`
  if (type === 'xstate.cancel') return 'stop waiting'
  return [type, ...fields(params ?? {}, shorten)].join(' ')
}

const printEvent = ({ type, ...rest }: { type: string }, shorten: Shorten): string =>
  [type, ...fields(rest, shorten)].join(' ')

const fields = (params: object, shorten: Shorten): string[] =>
  Object.entries(params)
    .map(([key, value]) => shorten(key, value) ?? print(value))
    .filter((text) => text !== '')

function print(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(print).join(' ')}]`
  if (typeof value === 'object' && value !== null) return Object.values(value).map(print).join('/')
  return String(value)
}

function table(lines: Line[]): string {
  const width = (column: 'event' | 'state') => Math.max(...lines.map((line) => line[column].length))
  const [event, state] = [width('event'), width('state')]
  return lines
    .map((line) =>
      `${line.event.padEnd(event)} → ${line.state.padEnd(state)}  ${line.asked}`.trimEnd(),
    )
    .join('\n')
}
