/** Adding a peer to a configuration, and taking one out, with everything else left as it is. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { withoutPeer, withPeer } from '../../../src/cli/config/edit.ts'

const FILE = `# my machines

[defaults]
wait = 30 # seconds

# the build machine
[peer.vm1]
to = "tcp://a:1" # its address
# why it waits
wait = 5

# the other one
[peer.vm2]
to = """tcp://b:1"""

[peer.vm1.exec]
user = "dev"
`

describe('changes of a configuration', () => {
  it('add a section at the end and leave the rest [R-677]', () => {
    assert.equal(withPeer(FILE, 'vm3', { to: 'tcp://c:1' }), `${FILE}\n[peer.vm3]\nto = "tcp://c:1"\n`)
    assert.equal(withPeer('', 'vm3', { to: 'tcp://c:1', wait: Infinity }), '[peer.vm3]\nto = "tcp://c:1"\nwait = inf\n')
    assert.equal(withPeer('# x', 'vm.3', { to: 'tcp://c:1' }), '# x\n\n[peer."vm.3"]\nto = "tcp://c:1"\n')
    assert.equal(withPeer('# x\r\n', 'vm3', { to: 'x:y' }), '# x\r\n\r\n[peer.vm3]\r\nto = "x:y"\r\n')
  })

  it('take out the statements of a peer and leave the rest, comments before it too [R-677]', () => {
    assert.equal(
      withoutPeer(FILE, 'vm1'),
      `# my machines

[defaults]
wait = 30 # seconds

# the build machine

# the other one
[peer.vm2]
to = """tcp://b:1"""

`,
    )
    assert.equal(withoutPeer('[peer]\na1.to = "x:y"\nb1.to = "x:z"\n', 'a1'), '[peer]\nb1.to = "x:z"\n')
    assert.equal(withoutPeer('[peer.a1]\nto = "x:y"\n', 'a1'), '')
  })

  it('undo each other [R-677]', () => {
    for (const text of [FILE, '# x\r\n[peer.a1]\r\nto = "x:y"\r\n']) {
      const added = withPeer(text, 'vm9', { to: 'tcp://c:1' })
      assert.equal(withoutPeer(added ?? '', 'vm9')?.trimEnd(), text.trimEnd())
    }
  })

  it('are refused where the form of the file has no place for them [R-677]', () => {
    const inline = 'peer = { a1 = { to = "x:y" }, b1 = { to = "x:z" } }\n'
    assert.equal(withPeer(inline, 'c1', { to: 'x:y' }), undefined)
    assert.equal(withoutPeer(inline, 'a1'), undefined)
  })
})
