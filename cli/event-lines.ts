/**
 * Asynchronous events as `lambus events` shows them: many in a table, one with all that is known of it.
 */
import type { EventLine } from '../actors/event-desk.ts'
import { byteSize, elapsed, table } from './output.ts'

export type FoundEvent = { line: EventLine; payload: Buffer; response: Buffer }

/** Wide enough to know an error again; `show` has all of it. */
const SENTENCE_CHARACTERS = 60

export const asTable = (lines: readonly EventLine[], nowMs: number): string =>
  table([
    ['REQUEST ID', 'FUNCTION', 'STATE', 'ATTEMPTS', 'AGE', 'DUE', 'END', 'LAST ERROR'],
    ...lines.map((line) => [
      line.requestId,
      functionOf(line),
      line.state,
      String(line.attempts),
      elapsed(nowMs - line.acceptedAtMs),
      dueIn(line, nowMs),
      line.telling?.condition ?? '-',
      firstOf(line.lastError),
    ]),
  ])

export const asJson = ({ line, payload, response }: FoundEvent): object => ({
  ...line,
  payload: jsonOf(payload),
  ...(line.responseBytes === undefined ? {} : { response: jsonOf(response) }),
})

export function asText({ line, payload, response }: FoundEvent, nowMs: number): string {
  const { queue, lane, last, telling } = line
  const rows: [name: string, value: string | undefined][] = [
    ['request id', line.requestId],
    ['function', functionOf(line)],
    ['state', line.state],
    ['lane', queue === undefined ? undefined : `${lane} of queue ${queue}`],
    ['accepted', when(line.acceptedAtMs, nowMs)],
    ['due', line.dueAtMs === undefined ? undefined : when(line.dueAtMs, nowMs)],
    ['attempts', String(line.attempts)],
    ['put off', line.putOff === 0 ? undefined : `${line.putOff} times in a row`],
    ['last attempt', last === undefined ? undefined : outcomeOf(last)],
    ['last error', line.lastError],
    ['ended', telling && `${telling.condition}, ${when(telling.endedAtMs, nowMs)}`],
    ...(telling?.to ?? []).map(({ as, arn }): [string, string] => [`${as} for`, arn]),
    ['trace', line.traceId],
    ['payload', byteSize(line.payloadBytes)],
  ]
  const known = rows.filter((row): row is [string, string] => row[1] !== undefined)
  const answered = response.length === 0 ? [] : ['answered', response.toString('utf8')]
  return [table(known), payload.toString('utf8'), ...answered].join('\n\n')
}

const functionOf = ({ functionName, qualifier }: EventLine): string =>
  qualifier === undefined ? functionName : `${functionName}:${qualifier}`

const dueIn = ({ dueAtMs }: EventLine, nowMs: number): string =>
  dueAtMs === undefined ? '-' : dueAtMs <= nowMs ? 'now' : `in ${elapsed(dueAtMs - nowMs)}`

const when = (atMs: number, nowMs: number): string =>
  `${new Date(atMs).toISOString()} (${atMs <= nowMs ? `${elapsed(nowMs - atMs)} ago` : `in ${elapsed(atMs - nowMs)}`})`

const outcomeOf = ({
  statusCode,
  functionError,
  executedVersion,
}: NonNullable<EventLine['last']>) =>
  [
    String(statusCode),
    ...(functionError === undefined ? [] : [functionError]),
    ...(executedVersion === undefined ? [] : [`of version ${executedVersion}`]),
  ].join(' ')

function firstOf(sentence: string | undefined): string {
  if (sentence === undefined) return '-'
  const line = sentence.replace(/\s+/g, ' ')
  return line.length <= SENTENCE_CHARACTERS ? line : `${line.slice(0, SENTENCE_CHARACTERS - 1)}…`
}

/** JSON as JSON, anything else as text, nothing as null. */
function jsonOf(bytes: Buffer): unknown {
  if (bytes.length === 0) return null
  const text = bytes.toString('utf8')
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
