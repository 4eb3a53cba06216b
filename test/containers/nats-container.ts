/** `startNatsServer()` in a container: the same server to a test, but for its files, which stay in the container. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import {
  GenericContainer,
  getContainerRuntimeClient,
  type StartedTestContainer,
  Wait,
} from 'testcontainers'
import type { StartServer, TestServer } from '../nats-server.ts'

const storeDir = '/store'

export const startInContainer =
  (image: string): StartServer =>
  async ({ conf = '', port } = {}): Promise<TestServer> => {
    const start = async () => {
      // A port that Docker chooses would be another one after a restart.
      const [hostPort, monitoringPort] = [port ?? (await freePort()), await freePort()]
      const container = await new GenericContainer(image)
        .withCopyContentToContainer([{ target: '/lambus-test.conf', content: serverConf(conf) }])
        .withCommand(['--config', '/lambus-test.conf'])
        .withExposedPorts(
          { container: 4222, host: hostPort },
          { container: 8222, host: monitoringPort },
        )
        .withWaitStrategy(Wait.forLogMessage(/Server is ready/))
        .start()
      return serverIn(container, hostPort, monitoringPort)
    }
    // Somebody may have taken a port since it was free.
    return start().catch(start)
  }

/** As test/nats-server.ts has it; but the container's own loopback is not where the host comes in. */
const serverConf = (more: string) => `
host: 0.0.0.0
port: 4222
http: "0.0.0.0:8222"
max_payload: 8MB
jetstream {
  store_dir: "${storeDir}"
  sync_interval: always
}
${more}
`

async function serverIn(
  started: StartedTestContainer,
  port: number,
  monitoringPort: number,
): Promise<TestServer> {
  const { container } = await getContainerRuntimeClient()
  const handle = container.getById(started.getId())
  let { State } = await handle.inspect()

  const kill = async (signal: NodeJS.Signals = 'SIGKILL') => {
    if (!State.Running) return
    const gone = handle.wait()
    await handle.kill({ signal })
    await gone
    State = { ...State, Running: false }
  }
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    get pid() {
      return State.Pid
    },
    storeDir,
    monitoringUrl: `http://127.0.0.1:${monitoringPort}`,
    kill,
    async restart() {
      await kill('SIGTERM')
      await handle.start()
      State = (await handle.inspect()).State
      await isHealthy(`http://127.0.0.1:${monitoringPort}/healthz`)
    },
    async stop() {
      await handle.remove({ force: true, v: true })
    },
  }
}

async function isHealthy(url: string): Promise<void> {
  for (;;) {
    const response = await fetch(url).catch(() => undefined)
    if (response?.ok === true) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}
