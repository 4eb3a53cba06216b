/**
 * `lambus start <role>...`: some of the system's roles in a process of their own.
 */
import type { Command } from 'commander'
import { Failure } from './failure.ts'
import { likeliest } from './likeliest.ts'
import { serve } from './serve.ts'
import { findSystem, natsOf, natsUrl } from './system.ts'
import { configOf, orPortTaken, refuseHttp, type ServerOptions, withPorts } from './up.ts'

export function register(program: Command): void {
  const command = program
    .command('start')
    .summary('run some roles in a process of their own')
    .description(
      'Runs roles of the system in a process of their own, on the NATS server of --nats, LAMBUS_NATS or --data-dir.',
    )
    .argument(
      '<role...>',
      'control-plane, placement, worker-manager, worker, state-manager, stream-tracker, leasing, front-end, poller, inspector',
    )
  withPorts(command)
  command.action(async (names: string[]) => {
    const options = command.optsWithGlobals<ServerOptions>()
    refuseHttp(options)
    const { json = false } = options
    const { roles, start } = await import('../main.ts')
    const wanted = names.flatMap((name) => name.split(',')).filter((name) => name !== '')
    const chosen = wanted.map((name) => roles.find((role) => role === name) ?? refuse(name, roles))
    const nats = natsUrl(natsOf(findSystem(options, process.env)))
    const running = await orPortTaken(start([...new Set(chosen)], configOf(options), { nats }))
    process.exitCode = await serve(running, { json, nats })
  })
}

function refuse(name: string, roles: readonly string[]): never {
  const [meant] = likeliest(name, roles)
  throw new Failure(
    'NO_SUCH_ROLE',
    `there is no role '${name}': ${meant === undefined ? `the roles are ${roles.join(', ')}` : `did you mean '${meant}'?`}`,
  )
}
