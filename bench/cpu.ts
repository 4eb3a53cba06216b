/** Where does the CPU time of a warm invocation go? */
import { startBarePath } from './floor/bare-path.ts'
import { door } from './floor/subjects.ts'
import { httpClient, natsClient } from './harness/clients.ts'
import { invokeSubject, startLambus } from './harness/lambus.ts'
import { type Invoke, throughput, warmUp } from './harness/load.ts'
import { cpuByRole, type Roles } from './harness/processes.ts'
import type { Question, Table } from './harness/question.ts'
import { inFlight, sandboxes, sixteenSandboxes } from './harness/sixteen.ts'

const rounds = 2
const roundMs = 1_500
const warmUpMs = 2_000
const path = '/2015-03-31/functions/echo/invocations'

/** A system under load by one door: seconds of CPU by role and how many invocations they were for. */
type Contender = {
  what: string
  invoke: Invoke
  processes: () => Roles
  seconds: Map<string, number>
  invokes: number
}

export const cpu: Question = {
  name: 'cpu',
  asks: `CPU seconds per 1,000 warm invokes by role: ${inFlight} in flight, ${sandboxes} sandboxes`,
  async run({ ours }) {
    await using bare = await startBarePath(sandboxes, { inBatch: true })
    await using bareNats = await natsClient({ url: bare.natsUrl })
    await using bareHttp = await httpClient({ url: bare.httpUrl, path })
    const contenders = [
      contender('NATS, bare path', bareNats.to(door), bare.processes),
      contender('HTTP, bare path', bareHttp.invoke, bare.processes),
    ]
    await using lambus = ours ? await startLambus(sixteenSandboxes) : undefined
    await lambus?.deploy('echo')
    await using lambusNats = lambus && (await natsClient(lambus.nats))
    await using lambusHttp = lambus && (await httpClient({ url: lambus.httpUrl, path }))
    if (lambus && lambusNats && lambusHttp) {
      contenders.splice(
        1,
        0,
        contender('NATS, lambus', lambusNats.to(invokeSubject('echo')), lambus.processes),
      )
      contenders.push(contender('HTTP, lambus', lambusHttp.invoke, lambus.processes))
    }
    await warmUp(
      contenders.map(({ invoke }) => invoke),
      inFlight,
      warmUpMs,
    )
    for (let round = 0; round < rounds; round += 1) {
      for (const each of contenders) await measure(each)
    }
    return {
      rows: [],
      tables: [table(contenders)],
      notes: [
        `${rounds} rounds of ${roundMs} ms each in turn, after ${warmUpMs} ms of warm-up. User and system time together.`,
        'What one process costs per invoke falls with load, since messages that arrive together are handled together.',
      ],
    }
  },
}

function contender(what: string, invoke: Invoke, processes: () => Roles): Contender {
  return { what, invoke, processes, seconds: new Map(), invokes: 0 }
}

async function measure(of: Contender): Promise<void> {
  const before = cpuByRole(of.processes())
  const client = process.cpuUsage()
  const { invokes } = await throughput(of.invoke, inFlight, roundMs)
  const { user, system } = process.cpuUsage(client)
  of.invokes += invokes
  const add = (role: string, seconds: number) =>
    of.seconds.set(role, (of.seconds.get(role) ?? 0) + seconds)
  for (const [role, seconds] of cpuByRole(of.processes())) {
    add(role, seconds - (before.get(role) ?? 0))
  }
  add('client', (user + system) / 1_000_000)
}

function table(contenders: Contender[]): Table {
  const roles = new Set(contenders.flatMap(({ seconds }) => [...seconds.keys()]))
  const per1000 = ({ seconds, invokes }: Contender, role: string) => {
    const spent = seconds.get(role)
    return spent === undefined ? '' : ((spent * 1000) / invokes).toFixed(3)
  }
  const total = ({ seconds, invokes }: Contender) =>
    (([...seconds.values()].reduce((sum, spent) => sum + spent, 0) * 1000) / invokes).toFixed(3)
  return {
    title: 'CPU seconds per 1,000 invokes',
    head: ['role', ...contenders.map(({ what }) => what)],
    lines: [
      ...[...roles].map((role) => [role, ...contenders.map((each) => per1000(each, role))]),
      ['together', ...contenders.map(total)],
    ],
  }
}
