/**
 * `npm run bench [-- question…] [--floors]`: asks all questions or those named, prints the answers and writes them to
 * docs/benchmarks.md. `--floors` measures the floors alone and writes nothing.
 *
 * Exit code 1 when a question could not be asked; a reach that is not reached is an answer.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { asynchronous } from './async.ts'
import { burst } from './burst.ts'
import { coldStart } from './cold-start.ts'
import { cpu } from './cpu.ts'
import type { Question } from './harness/question.ts'
import { answerText, machine, page, section } from './harness/report.ts'
import { idleMemory } from './idle-memory.ts'
import { steps } from './steps.ts'
import { streams } from './streams.ts'
import { throughputNats } from './throughput-nats.ts'
import { warmHttp } from './warm-http.ts'
import { warmNats } from './warm-nats.ts'

const questions: Question[] = [
  warmNats,
  throughputNats,
  warmHttp,
  cpu,
  asynchronous,
  coldStart,
  burst,
  streams,
  idleMemory,
  steps,
]
const pagePath = fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url))

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { floors: { type: 'boolean', default: false } },
})
const names = questions.map(({ name }) => name)
const unknown = positionals.filter((name) => !names.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`No such question: ${unknown.join(', ')}. There are: ${names.join(', ')}.\n`)
  process.exit(2)
}

const asked = questions.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
const takenOn = `${new Date().toISOString().slice(0, 10)}; ${await machine()}`
const sections = new Map<string, string>()
for (const question of asked) {
  if (process.stderr.isTTY) process.stderr.write(`asking ${question.name} …\n`)
  const text = section(question, await ask(question), takenOn)
  sections.set(question.name, text)
  process.stdout.write(`${text}\n`)
}
if (!values.floors) writeFileSync(pagePath, page(pagePath, names, sections))

async function ask(question: Question): Promise<string> {
  try {
    return answerText(await question.run({ ours: !values.floors }))
  } catch (error) {
    process.exitCode = 1
    process.stderr.write(`${(error as Error).stack}\n`)
    return `Could not be measured: ${question.name} ended with an error.\n`
  }
}
