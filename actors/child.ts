/**
 * Children on the machine: the processes that this one starts and keeps running.
 */
import type { Clock, Log } from '../bus/bus.ts'
import { type ChildInput, childMachine } from '../machines/child.ts'
import { type Host, host } from './actor.ts'

/** One life of a child process. */
export type ChildProcess = {
  pid: number
  /** Rejects, or never settles, when the process ends first. */
  ready: Promise<unknown>
  /** How it ended, for people. Never rejects. */
  exited: Promise<string>
  end(): void
  kill(): void
}

/** How a supervised child came to its end: it was stopped, or given up. */
export type ChildEnd = { stopped: true } | { failed: string }

export type SupervisedChild = {
  /** Of its present life, or of the last one. */
  pid(): number
  /** Resolves when it is over for good. */
  over: Promise<ChildEnd>
  /** Ends it, by force when it does not listen, and resolves when it is gone. */
  stop(): Promise<void>
}

export type Children = {
  host: Host<typeof childMachine>
  /**
   * Starts a child and keeps it running. `launch` makes one life of it; what it throws is a life that ended at once.
   * Resolves when the child is ready; throws `ChildFailed` when its first life ends before that.
   */
  start(
    name: string,
    launch: (life: number) => ChildProcess,
    limits?: Partial<ChildInput>,
  ): Promise<SupervisedChild>
}

/** A child that never became ready. */
export class ChildFailed extends Error {
  override readonly name = 'ChildFailed'
  readonly code = 'CHILD_FAILED'
}

/**
 * A first restart follows at once and the pause grows to 2 s: a nats-server is back within 0.3 s, and a child that dies
 * six times within 10 s each has a cause that a seventh start would meet too.
 */
const limitsOfChildren: ChildInput = {
  launchTimeoutMs: 60_000,
  steadyMs: 10_000,
  backOffMs: 50,
  maxBackOffMs: 2_000,
  maxDeaths: 6,
  stopTimeoutMs: 10_000,
}

type Record = {
  launch: (life: number) => ChildProcess
  process: ChildProcess | undefined
  isReady(): void
  isOver(end: ChildEnd): void
}

export function hostChildren({ clock, log }: { clock: Clock; log: Log }): Children {
  const records = new Map<string, Record>()
  const recordOf = (child: string): Record => {
    const record = records.get(child)
    if (record === undefined) throw new Error(`no child '${child}'`)
    return record
  }

  const children = host(childMachine, {
    clock,
    log,
    duties: {
      launch({ life }, child) {
        const record = recordOf(child)
        const exited = (why: string) => children.send(child, { type: 'exited', life, why })
        try {
          record.process = record.launch(life)
        } catch (error) {
          exited((error as Error).message)
          return
        }
        const { process } = record
        process.ready.then(
          () => children.send(child, { type: 'ready', life }),
          () => {},
        )
        void process.exited.then(exited)
      },
      end: (_, child) => recordOf(child).process?.end(),
      kill: (_, child) => recordOf(child).process?.kill(),
      reportReady({ life }, child) {
        const record = recordOf(child)
        log.debug({ child, life, pid: record.process?.pid }, 'child is ready')
        record.isReady()
      },
      reportDeath: ({ life, why, retryInMs }, child) =>
        log.warn({ code: 'CHILD_DIED', child, life, why, retryInMs }, 'child died; starts again'),
      reportFailure: ({ why, deaths }, child) =>
        log.error({ code: 'CHILD_FAILED', child, why, deaths }, 'child is given up'),
    },
    ended(child, snapshot) {
      const record = recordOf(child)
      records.delete(child)
      record.isOver(
        snapshot.value === 'failed' ? { failed: snapshot.context.why } : { stopped: true },
      )
    },
  })

  return {
    host: children,
    async start(name, launch, limits = {}) {
      const ready = Promise.withResolvers<void>()
      const over = Promise.withResolvers<ChildEnd>()
      const record: Record = {
        launch,
        process: undefined,
        isReady: ready.resolve,
        isOver: over.resolve,
      }
      records.set(name, record)
      children.start(name, { ...limitsOfChildren, ...limits })
      const end = await Promise.race([ready.promise, over.promise])
      if (end !== undefined) {
        throw new ChildFailed(`${name}: ${'failed' in end ? end.failed : 'was stopped'}`)
      }
      return {
        pid: () => record.process?.pid ?? 0,
        over: over.promise,
        async stop() {
          children.send(name, { type: 'stop' })
          await over.promise
        },
      }
    },
  }
}
