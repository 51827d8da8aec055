# Receives a context disc of virt-recontext: copies it to C:\ProgramData\recontext\current and then runs the scripts in
# C:\ProgramData\recontext\scripts, once for each generation of the disc. Meant to be started every minute.
# Untested.
$ErrorActionPreference = 'Stop'
$base = Join-Path $env:ProgramData 'recontext'
$current = Join-Path $base 'current'
$scripts = Join-Path $base 'scripts'

$volume = Get-CimInstance Win32_Volume -Filter "DriveType = 5 AND Label = 'RECONTEXT'" | Select-Object -First 1
if (-not $volume) { exit 0 }
$root = "$($volume.DriveLetter)\"

function Get-Generation($directory) {
    $file = Join-Path $directory 'recontext.json'
    if (Test-Path $file) { (Get-Content $file -Raw -Encoding UTF8 | ConvertFrom-Json).generation }
}

$generation = Get-Generation $root
if (-not $generation -or $generation -eq (Get-Generation $current)) { exit 0 }

$new = Join-Path $base 'new'
if (Test-Path $new) { Remove-Item $new -Recurse -Force }
New-Item $new -ItemType Directory -Force | Out-Null
Copy-Item (Join-Path $root '*') $new -Recurse
# Exchanged while it was copied: the next start sees the new disc.
if ((Get-Generation $root) -ne $generation) { exit 0 }
if (Test-Path $current) { Remove-Item $current -Recurse -Force }
Rename-Item $new 'current'

Get-ChildItem $scripts -Filter *.ps1 -ErrorAction SilentlyContinue | Sort-Object Name | ForEach-Object {
    & powershell.exe -NoProfile -ExecutionPolicy Bypass -File $_.FullName
}
