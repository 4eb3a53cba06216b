/**
 * Answers as text: one section of Markdown per question, the same on the terminal and in docs/benchmarks.md.
 *
 * Ours and the floor are compared pair by pair, a round of one with the round of the other beside it, because the
 * machine is not equally fast in all rounds; what is quoted is the median of those comparisons.
 */
import { existsSync, readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem, type } from 'node:os'
import { findNatsServer } from '../../bus/server-binary.ts'
import type { Answer, Figures, Question, Reach, Row } from './question.ts'

const preface = `# Benchmarks

Written by \`npm run bench\`, never by hand; \`npm run bench -- <question>…\` asks some questions again and leaves the other
sections as they are. Every figure of ours stands beside a floor measured in the same run, in turns with it. Figures are
medians of rounds, with the least and the greatest in parentheses; a comparison is the median over pairs of rounds.
The *bare path* is client → door process → NATS → worker process → framed socket → child process and back, with no
logic at all (bench/floor/).
`

/** `takenOn`: day and machine. */
export function section({ name, asks }: Question, body: string, takenOn: string): string {
  return `## ${name}\n\n${asks}.\n\n${body}\n*${takenOn}*\n`
}

export function answerText({ rows, tables, notes }: Answer): string {
  const parts = [
    ...(rows.length === 0 ? [] : [rowsText(rows)]),
    ...tables.map(({ title, head, lines }) => `${title}:\n\n${tableText(head, lines)}`),
    ...notes.map((note) => `${note}\n`),
  ]
  return parts.join('\n')
}

/** The whole page: sections in the order of `order`, new ones from `sections`, others kept from the page as it was. */
export function page(path: string, order: string[], sections: Map<string, string>): string {
  const before = existsSync(path)
    ? readFileSync(path, 'utf8')
        .split(/^(?=## )/m)
        .slice(1)
    : []
  const kept = new Map(before.map((text) => [/^## (.*)$/m.exec(text)?.[1] ?? '', text.trimEnd()]))
  const texts = order.flatMap((name) => sections.get(name)?.trimEnd() ?? kept.get(name) ?? [])
  return `${[preface.trimEnd(), ...texts].join('\n\n')}\n`
}

export function median(figures: Figures): number {
  const sorted = [...figures].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

function rowsText(rows: Row[]): string {
  const head = ['what', 'unit', 'floor', 'lambus', 'compared', 'reach', 'verdict']
  return tableText(
    head,
    rows.map(({ what, unit, floor, ours, reach }) => {
      const compared = comparison(floor?.figures, ours, reach)
      const show = compared?.kind === 'difference' ? signed : ratio
      return [
        what,
        unit,
        floor ? `${floor.what}: ${spread(floor.figures, plain)}` : '',
        ours ? spread(ours, plain) : 'not measured',
        compared === undefined ? '' : spread(compared.figures, show),
        reach ? reachText(reach, unit) : '',
        reach && ours ? verdict(reach, compared?.figures ?? ours) : '',
      ]
    }),
  )
}

function comparison(floor: Figures | undefined, ours: Figures | undefined, reach?: Reach) {
  if (floor === undefined || ours === undefined) return undefined
  const pairs = ours.map((figure, round): [number, number] => [figure, floor[round] ?? Number.NaN])
  return reach?.of === 'more than the floor'
    ? { kind: 'difference' as const, figures: pairs.map(([a, b]) => a - b) }
    : { kind: 'ratio' as const, figures: pairs.map(([a, b]) => a / b) }
}

function reachText({ at, limit, of }: Reach, unit: string): string {
  const sign = at === 'most' ? '≤' : '≥'
  if (of === 'times the floor') return `${sign} ${limit} ×`
  return of === 'more than the floor' ? `${sign} + ${limit} ${unit}` : `${sign} ${limit} ${unit}`
}

function verdict({ at, limit }: Reach, figures: Figures): string {
  const figure = median(figures)
  const isReached = at === 'most' ? figure <= limit : figure >= limit
  return isReached ? 'reached' : 'not reached'
}

function spread(figures: Figures, show: (figure: number) => string): string {
  if (figures.length === 1) return show(median(figures))
  return `${show(median(figures))} (${show(Math.min(...figures))} to ${show(Math.max(...figures))})`
}

const signed = (figure: number) => `${figure < 0 ? '−' : '+'} ${plain(Math.abs(figure))}`

const ratio = (figure: number) => `${figure.toFixed(2)} ×`

function plain(figure: number): string {
  if (Number.isInteger(figure) || Math.abs(figure) >= 100) {
    return Math.round(figure).toLocaleString('en-US')
  }
  return figure.toFixed(Math.abs(figure) >= 10 ? 1 : 3)
}

function tableText(head: string[], lines: (string | number)[][]): string {
  const cells = [head, ...lines.map((line) => line.map(String))]
  const widths = head.map((_, column) =>
    Math.max(...cells.map((line) => line[column]?.length ?? 0)),
  )
  const text = (line: string[]) =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |\n`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|\n`
  return text(head) + rule + cells.slice(1).map(text).join('')
}

/** What the figures were taken on. Neither its name nor any path of it. */
export async function machine(): Promise<string> {
  const cores = cpus()
  const { version } = await findNatsServer({ environment: process.env })
  return [
    `${cores.length} × ${cores[0]?.model.trim() ?? 'unknown CPU'}`,
    `${Math.round(totalmem() / 2 ** 30)} GB`,
    `${type()} ${/^\d+\.\d+/.exec(release())?.[0] ?? ''}`,
    `Node ${process.versions.node}`,
    `nats-server ${version}`,
    // The machine may have others to serve: high figures here are a warning about all the others.
    `load average before the run ${loadavg()[0]?.toFixed(1)}`,
  ].join(', ')
}
