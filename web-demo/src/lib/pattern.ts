/**
 * Draws the test picture that stands in for the camera. Needs nothing but a canvas and the time.
 * The glowing back has no edges: it is drawn small and stretched, which costs a sixtieth.
 */

const barHues = [96, 192, 140, 320, 20, 260];
const backScale = 8;
let back: HTMLCanvasElement | undefined;

/** Draws one picture of `width` × `height` at `now` (local milliseconds). */
export function drawPattern(ctx: CanvasRenderingContext2D, width: number, height: number, now: number): void {
  back ??= document.createElement('canvas');
  back.width = Math.max(1, Math.round(width / backScale));
  back.height = Math.max(1, Math.round(height / backScale));
  const small = back.getContext('2d');
  if (small) drawBack(small, back.width, back.height, now / 1000);
  ctx.drawImage(back, 0, 0, width, height);

  const portrait = height > width;
  const cx = width / 2;
  const cy = height * (portrait ? 0.3 : 0.46);
  const radius = Math.min(width, height) * (portrait ? 0.22 : 0.26);
  drawDial(ctx, cx, cy, radius, now);
  drawBars(ctx, cx, cy + radius * 0.52, radius * 0.84, radius * 0.1);
}

function drawBack(ctx: CanvasRenderingContext2D, width: number, height: number, t: number): void {
  const ground = ctx.createLinearGradient(0, 0, width * 0.4, height);
  ground.addColorStop(0, '#3b1537');
  ground.addColorStop(0.55, '#7a1f45');
  ground.addColorStop(1, '#1b1030');
  ctx.fillStyle = ground;
  ctx.fillRect(0, 0, width, height);
  const reach = Math.max(width, height) * 0.55;
  drawGlow(ctx, width * (0.25 + 0.12 * Math.sin(t / 7)), height * (0.2 + 0.06 * Math.cos(t / 5)), reach, '#ff8a3d');
  drawGlow(ctx, width * (0.85 + 0.1 * Math.cos(t / 9)), height * (0.45 + 0.1 * Math.sin(t / 6)), reach, '#e0366f');
  drawGlow(ctx, width * (0.4 + 0.15 * Math.cos(t / 11)), height * (0.95 + 0.05 * Math.sin(t / 8)), reach, '#3c6df0');
}

function drawGlow(ctx: CanvasRenderingContext2D, x: number, y: number, radius: number, colour: string): void {
  const glow = ctx.createRadialGradient(x, y, 0, x, y, radius);
  glow.addColorStop(0, `${colour}99`);
  glow.addColorStop(1, `${colour}00`);
  ctx.fillStyle = glow;
  ctx.fillRect(x - radius, y - radius, radius * 2, radius * 2);
}

function drawBars(ctx: CanvasRenderingContext2D, cx: number, y: number, width: number, height: number): void {
  const each = width / barHues.length;
  ctx.save();
  ctx.beginPath();
  ctx.roundRect(cx - width / 2, y, width, height, height / 2);
  ctx.clip();
  barHues.forEach((hue, i) => {
    ctx.fillStyle = `hsl(${hue} 80% 62%)`;
    ctx.fillRect(cx - width / 2 + i * each, y, each + 1, height);
  });
  ctx.restore();
}

function drawDial(ctx: CanvasRenderingContext2D, cx: number, cy: number, radius: number, now: number): void {
  const turn = ((now % 4000) / 4000) * Math.PI * 2 - Math.PI / 2;
  ctx.lineWidth = radius * 0.05;
  ctx.lineCap = 'round';
  ctx.strokeStyle = 'rgb(255 255 255 / 25%)';
  ctx.beginPath();
  ctx.arc(cx, cy, radius, 0, Math.PI * 2);
  ctx.stroke();
  ctx.strokeStyle = '#fff';
  ctx.beginPath();
  ctx.arc(cx, cy, radius, turn, turn + Math.PI / 2);
  ctx.stroke();
  const date = new Date(now);
  const [hours, minutes, seconds] = [date.getHours(), date.getMinutes(), date.getSeconds()].map((n) =>
    String(n).padStart(2, '0'),
  );
  ctx.fillStyle = '#fff';
  ctx.textAlign = 'center';
  ctx.textBaseline = 'middle';
  ctx.font = `600 ${radius * 0.5}px system-ui, sans-serif`;
  ctx.fillText(`${hours}:${minutes}`, cx, cy - radius * 0.2);
  ctx.font = `500 ${radius * 0.22}px system-ui, sans-serif`;
  ctx.fillStyle = 'rgb(255 255 255 / 75%)';
  ctx.fillText(seconds ?? '', cx, cy + radius * 0.24);
}
