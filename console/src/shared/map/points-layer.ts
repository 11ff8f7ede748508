import type { CustomLayerInterface, CustomRenderMethodInput, Map as MapLibreMap } from "maplibre-gl";

/** Bytes of one point in the buffer: position 2 × float32, colour 4 × uint8, look 4 × uint8. */
export const STRIDE = 16;

export const FLAG_STALE = 1;
export const FLAG_SELECTED = 2;

const VERTEX = `#version 300 es
uniform mat4 u_matrix;
uniform float u_size;
uniform float u_ratio;
in vec2 a_position;
in vec4 a_colour;
in vec4 a_look;
out vec4 v_colour;
flat out int v_shape;
flat out int v_halo;
flat out int v_flags;
out float v_spread;
out float v_pixels;
void main() {
  gl_Position = u_matrix * vec4(a_position, 0.0, 1.0);
  v_shape = int(a_look.x + 0.5);
  v_halo = int(a_look.y + 0.5);
  v_flags = int(a_look.z + 0.5);
  float size = u_size * a_look.w / 64.0;
  if (v_halo > 0) size = max(size, 8.0);
  if ((v_flags & 2) != 0) size = max(size, 11.0);
  v_spread = v_halo > 2 ? 3.6 : v_halo > 0 || (v_flags & 2) != 0 ? 2.4 : 1.25;
  v_colour = a_colour;
  v_pixels = size * u_ratio;
  gl_PointSize = size * v_spread * u_ratio;
}`;

const FRAGMENT = `#version 300 es
precision highp float;
uniform vec3 u_halos[5];
uniform vec3 u_rim;
uniform float u_pulse;
in vec4 v_colour;
flat in int v_shape;
flat in int v_halo;
flat in int v_flags;
in float v_spread;
in float v_pixels;
out vec4 colour;

float far_from(vec2 p) {
  vec2 a = abs(p);
  if (v_shape == 1) return max(a.x, a.y) - 0.82;
  if (v_shape == 2) return (a.x + a.y) * 0.7071 - 0.70;
  if (v_shape == 3) {
    float y = p.y + 0.22;
    return max(a.x * 0.866 + y * 0.5, -y) - 0.56;
  }
  if (v_shape == 4) return max(a.x * 0.866 + a.y * 0.5, a.y) - 0.84;
  if (v_shape == 5) return min(max(a.x - 0.95, a.y - 0.32), max(a.y - 0.95, a.x - 0.32));
  if (v_shape == 6) return abs(length(p) - 0.68) - 0.26;
  return length(p) - 0.92;
}

void main() {
  vec2 p = (gl_PointCoord * 2.0 - 1.0) * v_spread;
  p.y = -p.y;
  float soft = 2.0 / v_pixels;
  float d = far_from(p);
  float body = 1.0 - smoothstep(-soft * 0.5, soft * 0.5, d);
  float rim = 1.0 - smoothstep(-soft * 0.5, soft * 0.5, d - min(0.25, soft * 1.1));
  bool stale = (v_flags & 1) != 0;
  float strength = stale ? 0.38 : 1.0;
  vec4 sum = vec4(u_rim, 1.0) * rim * 0.75 * strength;
  sum = sum * (1.0 - body * strength) + vec4(v_colour.rgb, 1.0) * body * strength;
  float r = length(p);
  if (v_halo > 0) {
    vec3 tone = u_halos[v_halo];
    float reach = v_spread - 0.1;
    float glow = (1.0 - smoothstep(0.9, reach, r)) * (v_halo > 2 ? 0.6 : 0.35);
    float ring = 1.0 - smoothstep(0.0, soft, abs(r - 1.55) - 0.17);
    float wave = u_pulse > 0.0 ? (1.0 - smoothstep(0.0, soft * 2.0, abs(r - mix(1.5, reach, u_pulse)) - 0.08)) * (1.0 - u_pulse) : 0.0;
    float a = max(max(glow, ring), wave);
    sum = sum + vec4(tone, 1.0) * a * (1.0 - sum.a);
  }
  if ((v_flags & 2) != 0) {
    float ring = 1.0 - smoothstep(0.0, soft, abs(r - 1.95) - 0.12);
    sum = sum * (1.0 - ring) + vec4(1.0) * ring;
  }
  if (sum.a < 0.01) discard;
  colour = sum;
}`;

export interface PointsStyle {
  /** Colours of the halos by number, 1 to 4: blue, yellow, orange, red. */
  halos: [number, number, number][];
  rim: [number, number, number];
  pulse: boolean;
}

/**
 * Draws all live entities in one call with gl.POINTS. A hundred thousand cost about what ten thousand do, because the
 * buffer is written only when something has changed. Positions are Mercator units relative to an origin near the
 * city, since float32 alone would jitter by metres.
 */
export class PointsLayer implements CustomLayerInterface {
  readonly type = "custom" as const;
  readonly renderingMode = "2d" as const;
  private map: MapLibreMap | null = null;
  private gl: WebGL2RenderingContext | null = null;
  private program: WebGLProgram | null = null;
  private array: WebGLVertexArrayObject | null = null;
  private buffer: WebGLBuffer | null = null;
  private uniforms: Record<string, WebGLUniformLocation | null> = {};
  private points: ArrayBuffer = new ArrayBuffer(0);
  private count = 0;
  private origin: [number, number] = [0, 0];
  private dirty = false;
  private halos = false;
  frames = 0;

  constructor(
    readonly id: string,
    private style: PointsStyle,
  ) {}

  setStyle(style: PointsStyle): void {
    this.style = style;
    this.map?.triggerRepaint();
  }

  /** Hand over new points; `halos` says whether any of them pulses. The buffer must not be changed afterwards. */
  setPoints(points: ArrayBuffer, count: number, origin: [number, number], halos: boolean): void {
    this.points = points;
    this.count = count;
    this.origin = origin;
    this.halos = halos;
    this.dirty = true;
    this.map?.triggerRepaint();
  }

  onAdd(map: MapLibreMap, context: WebGLRenderingContext | WebGL2RenderingContext): void {
    const gl = context as WebGL2RenderingContext;
    this.map = map;
    this.gl = gl;
    this.program = link(gl);
    for (const name of ["u_matrix", "u_size", "u_ratio", "u_halos", "u_rim", "u_pulse"]) {
      this.uniforms[name] = gl.getUniformLocation(this.program, name);
    }
    this.array = gl.createVertexArray();
    this.buffer = gl.createBuffer();
    gl.bindVertexArray(this.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    const attribute = (name: string, size: number, type: number, normalized: boolean, offset: number) => {
      const location = gl.getAttribLocation(this.program as WebGLProgram, name);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, size, type, normalized, STRIDE, offset);
    };
    attribute("a_position", 2, gl.FLOAT, false, 0);
    attribute("a_colour", 4, gl.UNSIGNED_BYTE, true, 8);
    attribute("a_look", 4, gl.UNSIGNED_BYTE, false, 12);
    gl.bindVertexArray(null);
    this.dirty = true;
  }

  onRemove(): void {
    const gl = this.gl;
    if (gl) {
      gl.deleteBuffer(this.buffer);
      gl.deleteVertexArray(this.array);
      gl.deleteProgram(this.program);
    }
    this.map = this.gl = this.program = this.array = this.buffer = null;
  }

  render(context: WebGLRenderingContext | WebGL2RenderingContext, input: CustomRenderMethodInput): void {
    const gl = context as WebGL2RenderingContext;
    const map = this.map;
    this.frames += 1;
    if (!map || !this.program || this.count === 0) return;
    gl.useProgram(this.program);
    gl.bindVertexArray(this.array);
    if (this.dirty) {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
      gl.bufferData(gl.ARRAY_BUFFER, new Uint8Array(this.points, 0, this.count * STRIDE), gl.DYNAMIC_DRAW);
      this.dirty = false;
    }
    const uniform = (name: string) => this.uniforms[name] ?? null;
    gl.uniformMatrix4fv(uniform("u_matrix"), false, moved(input.defaultProjectionData.mainMatrix, this.origin));
    gl.uniform1f(uniform("u_size"), pointSize(map.getZoom()));
    gl.uniform1f(uniform("u_ratio"), map.getPixelRatio());
    gl.uniform3fv(uniform("u_halos"), [0, 0, 0, ...this.style.halos.flat()]);
    gl.uniform3fv(uniform("u_rim"), this.style.rim);
    const pulsing = this.style.pulse && this.halos;
    gl.uniform1f(uniform("u_pulse"), pulsing ? (performance.now() % 1600) / 1600 : 0);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.STENCIL_TEST);
    gl.drawArrays(gl.POINTS, 0, this.count);
    gl.bindVertexArray(null);
    if (pulsing) map.triggerRepaint();
  }
}

/** Diameter of an ordinary point, CSS pixels. */
export function pointSize(zoom: number): number {
  return Math.max(4, Math.min(15, 4.4 + (zoom - 9.5) * 1.5));
}

/** Matrix × translation by the origin, in double precision, then cut down to what the GPU takes. */
function moved(matrix: ArrayLike<number>, [x, y]: [number, number]): Float32Array {
  const m = Array.from(matrix);
  const at = (index: number) => m[index] ?? 0;
  for (let row = 0; row < 4; row += 1) m[12 + row] = at(row) * x + at(4 + row) * y + at(12 + row);
  return new Float32Array(m);
}

function link(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [type, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(type);
    if (!shader) throw new Error("The graphics context is lost");
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader) ?? "shader");
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) ?? "program");
  return program;
}
