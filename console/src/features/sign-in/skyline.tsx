/** A drum tower over a city by a river, drawn in lines; decoration only. */
export function Skyline() {
  return (
    <svg className="skyline" viewBox="0 0 900 700" preserveAspectRatio="xMidYMax slice">
      <defs>
        <linearGradient id="sky" x1="0" y1="0" x2="0" y2="1">
          <stop offset="0" stopColor="#071322" />
          <stop offset="0.65" stopColor="#0d2a45" />
          <stop offset="1" stopColor="#15506b" />
        </linearGradient>
        <radialGradient id="glow" cx="0.5" cy="0.5" r="0.5">
          <stop offset="0" stopColor="#e8b04a" stopOpacity="0.35" />
          <stop offset="1" stopColor="#e8b04a" stopOpacity="0" />
        </radialGradient>
      </defs>
      <rect width="900" height="700" fill="url(#sky)" />
      <circle cx="450" cy="430" r="290" fill="url(#glow)" />
      <g fill="#0b2036">
        <path d="M0 560V470h40v-40h50v55h36v-95h44v70h30v-40h54v120H0Z" />
        <path d="M640 580V430h46v-60h34v85h40v-45h52v35h30v-80h58v215H640Z" />
      </g>
      <g fill="#0e2b47">
        <path d="M30 600V520h60v-36h44v50h50v-64h38v50h60v80Z" />
        <path d="M610 600v-96h52v-40h40v56h58v-36h46v30h64v86Z" />
      </g>
      <g fill="#f3d08a" opacity="0.55">
        {WINDOWS.map(([x, y]) => (
          <rect key={`${x}-${y}`} x={x} y={y} width="5" height="7" />
        ))}
      </g>
      <g fill="#08182a" stroke="#3cc4e0" strokeWidth="3" strokeLinejoin="round">
        <path d="M330 640h240v-84H330Z" />
        <path d="M318 556h264v-14H318Z" />
        <path d="M352 542h196v-58H352Z" />
        <path d="M300 492c50-4 110-16 150-44 40 28 100 40 150 44l-14 12H314Z" />
        <path d="M386 450v-42h128v42c-26-4-50-14-64-26-14 12-38 22-64 26Z" />
        <path d="M340 414c44-4 84-18 110-46 26 28 66 42 110 46l-12 11H352Z" />
        <path d="M450 368v-26" fill="none" />
      </g>
      <path d="M418 640v-40a32 32 0 0 1 64 0v40Z" fill="#123756" stroke="#3cc4e0" strokeWidth="2.500" />
      <circle cx="450" cy="514" r="19" fill="#e8b04a" stroke="#8a5a00" strokeWidth="3" />
      <g stroke="#3cc4e0" fill="none" opacity="0.5">
        <circle cx="450" cy="514" r="70" strokeWidth="1.500" />
        <circle cx="450" cy="514" r="140" strokeWidth="1.200" opacity="0.7" />
        <circle cx="450" cy="514" r="220" strokeWidth="1" opacity="0.45" />
        <circle cx="450" cy="514" r="310" strokeWidth="1" opacity="0.25" />
      </g>
      <path d="M0 640h900v60H0Z" fill="#0a2439" />
      <path d="M0 652c120-12 220 12 340 0s220 12 340 0 150 8 220 0" stroke="#3cc4e0" strokeWidth="2" fill="none" opacity="0.55" />
      <path d="M0 674c150-12 260 12 400 0s260 12 500 0" stroke="#3cc4e0" strokeWidth="1.500" fill="none" opacity="0.3" />
    </svg>
  );
}

const WINDOWS: [number, number][] = [
  [52, 446], [70, 470], [104, 410], [140, 408], [152, 430], [140, 470], [214, 436], [226, 456], [238, 436], [56, 540],
  [72, 560], [110, 500], [150, 556], [206, 500], [236, 548], [660, 446], [672, 470], [698, 388], [698, 420], [738, 476],
  [776, 430], [790, 452], [832, 380], [846, 410], [860, 440], [640, 530], [684, 482], [726, 548], [790, 500], [836, 540],
];
