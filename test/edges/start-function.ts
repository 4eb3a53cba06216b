/** Starts a real runtime for a function given as files, and keeps what it tells, in order. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import { findNode } from '../../edges/node-binary.ts'
import {
  type RuntimeAnswer,
  type RuntimeExit,
  type RuntimeInvocation,
  type RuntimeProcess,
  type RuntimeSpec,
  startRuntime,
} from '../../edges/runtime-process.ts'

export type Files = Record<string, string>

export type Fact =
  | { is: 'ready'; initDurationMs: number }
  | { is: 'initFailed'; errorType: string; error: string }
  | ({ is: 'answered'; text: string } & RuntimeAnswer)
  | { is: 'wrote'; text: string }
  | ({ is: 'exited' } & RuntimeExit)

export type RunningFunction = {
  process: RuntimeProcess
  facts: Fact[]
  /** What the function printed so far. */
  log(): string
  /** The next fact of that kind that nobody waited for yet. */
  next<Kind extends Fact['is']>(is: Kind): Promise<Extract<Fact, { is: Kind }>>
  /** Invokes and waits for the answer. */
  invoke(
    event: unknown,
    more?: Partial<RuntimeInvocation>,
  ): Promise<Extract<Fact, { is: 'answered' }>>
}

export const functionArn = 'arn:aws:lambda:us-east-1:000000000000:function:f'
export const node24 = findNode(24) as string

export function makePackage(files: Files): string {
  const root = mkdtempSync(join(tmpdir(), 'lambus-package-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  return root
}

export function startFunction(files: Files, more: Partial<RuntimeSpec> = {}): RunningFunction {
  const facts: Fact[] = []
  const taken = new Set<Fact>()
  let wake = () => {}
  const tell = (fact: Fact) => {
    facts.push(fact)
    wake()
  }
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString()
  const process = startRuntime(
    {
      nodePath: node24,
      taskRoot: more.taskRoot ?? makePackage(files),
      handler: 'index.handler',
      environment: {},
      memoryMb: 256,
      ...more,
    },
    {
      ready: (initDurationMs) => tell({ is: 'ready', initDurationMs }),
      initFailed: (error, errorType) => tell({ is: 'initFailed', errorType, error: text(error) }),
      answered: (answer) => tell({ is: 'answered', text: text(answer.payload), ...answer }),
      wrote: (bytes) => tell({ is: 'wrote', text: text(bytes) }),
      exited: (exit) => tell({ is: 'exited', ...exit }),
    },
  )
  onTestFinished(() => process.kill())

  const next: RunningFunction['next'] = async (is) => {
    for (;;) {
      const fact = facts.find((each) => each.is === is && !taken.has(each))
      if (fact !== undefined) {
        taken.add(fact)
        return fact as Extract<Fact, { is: typeof is }>
      }
      if (facts.some((each) => each.is === 'exited')) {
        throw new Error(`exited without '${is}': ${JSON.stringify(facts)}`)
      }
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return {
    process,
    facts,
    log: () => facts.map((fact) => (fact.is === 'wrote' ? fact.text : '')).join(''),
    next,
    invoke: (event, more) => {
      const deadlineMs = Date.now() + 3000
      const invocation = { requestId: 'r1', deadlineMs, invokedFunctionArn: functionArn, ...more }
      process.invoke(invocation, Buffer.from(JSON.stringify(event)))
      return next('answered')
    },
  }
}
