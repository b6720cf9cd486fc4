/**
 * Copies of what is no regular file here, and can be read or written like one all the same: a FIFO,
 * a device, `/dev/fd/63`.
 */
import type { FilesystemClient } from '../../../protocols/filesystem.ts'
import type { Bytes } from '../../index.ts'
import { wirePath } from '../../runtime/byte-path.ts'
import { toBytes, type ByteString } from '../../runtime/byte-string.ts'
import { printable } from '../../runtime/printable.ts'
import { raced } from '../context.ts'
import type { Context } from '../context.ts'
import { readDescriptor } from '../descriptor/input.ts'
import { openToRead, openToWrite } from '../descriptor/open.ts'
import { DescriptorOutput } from '../descriptor/output.ts'
import type { Progress } from '../progress.ts'
import { counted } from './counted.ts'

/** What copies have in common. */
export interface SpecialCopy {
  readonly context: Context
  readonly files: FilesystemClient
  readonly progress: Progress
}

/** To the peer, until its end. */
export async function uploadSpecial(
  { context, files, progress }: SpecialCopy,
  local: ByteString,
  remote: ByteString,
): Promise<void> {
  const fd = await openToRead(context, toBytes(local))
  const bytes = readDescriptor(context, { fd, name: printable(local), close: true })
  try {
    // as with every copy, nothing waits for the disk
    const { signal } = context
    await files.write(wirePath(remote), counted(progress, bytes), { signal, durable: false })
  } finally {
    await bytes.return?.()
  }
}

/** From the peer, into what is there. */
export async function downloadSpecial(
  { context, files, progress }: SpecialCopy,
  remote: ByteString,
  local: ByteString,
  isFifo: boolean,
): Promise<void> {
  const { signal, clock } = context
  const output = new DescriptorOutput(await openToWrite(context, toBytes(local), isFifo), clock, 'any')
  try {
    const chunks: AsyncIterable<Bytes> = files.read(wirePath(remote), { signal, borrowed: true })
    for await (const chunk of counted(progress, chunks)) {
      await raced(context, output.write(chunk instanceof Uint8Array ? [chunk] : [...chunk]))
    }
  } finally {
    output.close()
  }
}
