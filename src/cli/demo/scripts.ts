/** The demo's first job: what runs before it, and what it does. Portable: needs only sh and this Node. */
export const SETUP = `echo 'getting the data'; sleep 0.4; echo 'data is here'`;

/** Works for three seconds, prints its progress, warns once on standard error. */
export const WORK = `
let step = 0;
const work = () => {
  step++;
  for (const until = Date.now() + 200; Date.now() < until; ) Math.sqrt(Math.random());
  console.log('step ' + step + ' of 6, loss ' + (1 / (step + 1)).toFixed(3));
  if (step === 3) console.error('warning: learning rate is high');
  if (step < 6) setTimeout(work, 300);
};
work();
`;

/** Does not end on SIGTERM: prints a line, and hides a child that ignores signals in a session of its own. */
export const STUBBORN = `
const { spawn } = require('node:child_process');
process.on('SIGTERM', () => console.log('SIGTERM? I am not going anywhere'));
const deaf = 'process.on("SIGTERM", () => {}); process.stdout.write("deaf\\\\n"); setInterval(() => {}, 1000)';
const child = spawn(process.execPath, ['-e', deaf], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
child.stdout.once('data', () => console.log('hid a child in its own session: pid ' + child.pid));
setInterval(() => {}, 1000);
`;

/** What the stubborn job prints when it is ready to be cancelled. */
export const STUBBORN_READY = "hid a child";
