/**
 * The bare path: what an invocation costs when nothing is decided.
 *
 *     client ─NATS or HTTP─▶ door ─NATS─▶ worker ─framed socket─▶ child, and the same way back
 *
 * The processes and hops of lambus with no logic in them; payload bytes pass as they are. A floor is worth as much as
 * it is fast, so each hop is the cheapest that we know: callbacks, inboxes of one's own, one write per frame.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { endProcess, type Roles, tree } from '../harness/processes.ts'
import { startBareServer } from './nats-server.ts'

export type BarePath = AsyncDisposable & {
  natsUrl: string
  httpUrl: string
  processes(): Roles
}

/**
 * `inBatch`: its processes run under the policy that lambus chooses for its own (edges/scheduling.ts), so that like is
 * compared with like; needs Linux's `chrt`. Otherwise they run as the machine runs any process.
 */
export async function startBarePath(
  children: number,
  { inBatch = false }: { inBatch?: boolean } = {},
): Promise<BarePath> {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await startBareServer())
  const door = start('./door.ts', [server.url])
  stack.defer(() => endProcess(door))
  const worker = start('./worker.ts', [server.url, String(children)])
  stack.defer(() => endProcess(worker))
  const [[httpPort]] = await Promise.all([once(door, 'message'), once(worker, 'message')])
  const processes = (): Roles => {
    const [self, ...children] = tree(worker.pid ?? 0)
    return new Map([
      ['nats-server', tree(server.pid)],
      ['door', tree(door.pid ?? 0)],
      ['worker', self === undefined ? [] : [self]],
      ['sandboxes', children],
    ])
  }
  if (inBatch) {
    for (const { pid } of [...processes().values()].flat()) {
      execFileSync('chrt', ['--all-tasks', '--batch', '--pid', '0', String(pid)])
    }
  }
  const started = stack.move()
  return {
    natsUrl: server.url,
    httpUrl: `http://127.0.0.1:${httpPort}`,
    processes,
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  }
}

function start(file: string, args: string[]): ChildProcess {
  return fork(fileURLToPath(new URL(file, import.meta.url)), args)
}
