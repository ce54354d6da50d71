/** Setup step of the demo's first job. Portable: needs only sh. */
export const SETUP = `echo 'getting the data'; sleep 0.4; echo 'data is here'`;

/** The first job: works for three seconds, prints its progress, warns once on standard error. Needs only this Node. */
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

/** The second job: on SIGTERM it prints a line and goes on. It has a child in a new session that ignores signals. */
export const STUBBORN = `
const { spawn } = require('node:child_process');
process.on('SIGTERM', () => console.log('SIGTERM? I am not going anywhere'));
const deaf = 'process.on("SIGTERM", () => {}); process.stdout.write("deaf\\\\n"); setInterval(() => {}, 1000)';
const child = spawn(process.execPath, ['-e', deaf], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
child.stdout.once('data', () => console.log('hid a child in its own session: pid ' + child.pid));
setInterval(() => {}, 1000);
`;

/** Part of the line that the second job prints when it is ready to be canceled. */
export const STUBBORN_READY = "hid a child";
