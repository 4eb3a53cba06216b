/**
 * Whether there is a Docker engine with the NATS image, or why not.
 */
import { getContainerRuntimeClient, ImageName } from 'testcontainers'

export type Engine = { image: string } | { absent: string }

/** `version` of nats-server. LAMBUS_TEST_CONTAINERS=required makes an absent engine an error: how .ci/run sees to it that the suites run. */
export async function findEngine(version: string): Promise<Engine> {
  const engine = await look(version)
  if ('absent' in engine && process.env['LAMBUS_TEST_CONTAINERS'] === 'required') {
    throw new Error(`test/containers cannot run: ${engine.absent}`)
  }
  return engine
}

async function look(version: string): Promise<Engine> {
  const name = `nats:${version}`
  const client = await getContainerRuntimeClient().catch(() => undefined)
  if (client === undefined) return { absent: 'no Docker engine answers' }
  const image = ImageName.fromString(name)
  if (await client.image.exists(image)) {
    const { RepoDigests } = await client.image.inspect(image)
    if (RepoDigests.length === 0) doWithoutReaper()
    return { image: name }
  }
  try {
    await client.image.pull(image)
    return { image: name }
  } catch (error) {
    const why = (error as Error).message.trim()
    return { absent: `${name} cannot be pulled (${why}); scripts/nats-image.ts makes one` }
  }
}

/**
 * testcontainers starts a container of its own that removes what a killed test leaves behind. An image without a digest
 * was made here, because no registry is reached, so that one cannot be pulled either.
 * Source: testcontainers, "Custom configuration".
 */
function doWithoutReaper(): void {
  process.env['TESTCONTAINERS_RYUK_DISABLED'] ??= 'true'
}
