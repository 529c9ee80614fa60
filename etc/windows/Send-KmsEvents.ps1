#requires -version 5.1
<#
.SYNOPSIS
Hands new events of this KMS host to kmstwist, and remembers how far it came.

.DESCRIPTION
The scheduled task beside this file (kmstwist-events.xml) runs it once an hour. It writes new events of the log
"Key Management Service" as a file into a folder, usually a share that "kmstwist events watch" watches, or sends them to
"kmstwist events listen" over TCP. It notes how far it came only after that has worked, so no event is left out; an
event that is sent twice changes nothing.

.PARAMETER Folder
The folder in which to write files, such as \\gateway1\kms-events.

.PARAMETER Server
The machine to which to send events, instead of a folder.

.PARAMETER Port
The TCP port there.

.PARAMETER Tls
Send over TLS; the server's certificate must be valid for the name given as Server.

.PARAMETER LogName
The log to read. On a collector of forwarded events it is ForwardedEvents.

.PARAMETER StateFile
The file that notes how far the script came.

.PARAMETER Most
The most events to hand over at a time; the rest follow in the next run.

.EXAMPLE
.\Send-KmsEvents.ps1 -Folder \\gateway1\kms-events

.EXAMPLE
.\Send-KmsEvents.ps1 -Server gateway1.example.com -Port 6514 -Tls
#>
[CmdletBinding(DefaultParameterSetName = 'Folder')]
param(
    [Parameter(Mandatory = $true, ParameterSetName = 'Folder')]
    [string] $Folder,

    [Parameter(Mandatory = $true, ParameterSetName = 'Server')]
    [string] $Server,

    [Parameter(ParameterSetName = 'Server')]
    [int] $Port = 5514,

    [Parameter(ParameterSetName = 'Server')]
    [switch] $Tls,

    [string] $LogName = 'Key Management Service',

    [string] $StateFile = (Join-Path $env:ProgramData 'kmstwist\events.json'),

    [int] $Most = 50000
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

function Get-Remembered {
    if (-not (Test-Path -LiteralPath $StateFile)) {
        return 0
    }
    $noted = Get-Content -LiteralPath $StateFile -Raw | ConvertFrom-Json
    if ($noted.LogName -ne $LogName) {
        return 0
    }
    return [long] $noted.RecordId
}

function Save-Remembered([long] $RecordId) {
    $parent = Split-Path -Parent $StateFile
    if (-not (Test-Path -LiteralPath $parent)) {
        New-Item -ItemType Directory -Path $parent | Out-Null
    }
    # Written to another file and renamed, so that a crash leaves either the old note or the new one.
    $aside = $StateFile + '.new'
    @{ LogName = $LogName; RecordId = $RecordId } | ConvertTo-Json | Set-Content -LiteralPath $aside -Encoding UTF8
    Move-Item -LiteralPath $aside -Destination $StateFile -Force
}

function Get-NewestRecordId {
    try {
        return [long] (Get-WinEvent -LogName $LogName -MaxEvents 1).RecordId
    }
    catch {
        if ($_.FullyQualifiedErrorId -like 'NoMatchingEventsFound*') {
            return 0
        }
        throw
    }
}

function Get-NewEvent([long] $After) {
    $query = '*[System[(EventRecordID > ' + $After + ')]]'
    try {
        Get-WinEvent -LogName $LogName -FilterXPath $query -Oldest -MaxEvents $Most
    }
    catch {
        if ($_.FullyQualifiedErrorId -notlike 'NoMatchingEventsFound*') {
            throw
        }
    }
}

function ConvertTo-Line($Record) {
    # One event is one line.
    return ($Record.ToXml() -replace '[\r\n]+', ' ')
}

function Write-Folder($Events, [long] $Last) {
    $name = '{0}-{1}' -f $env:COMPUTERNAME, $Last
    $aside = Join-Path $Folder ($name + '.part')
    $writer = New-Object System.IO.StreamWriter($aside, $false, (New-Object System.Text.UTF8Encoding($false)))
    try {
        $writer.WriteLine('<Events>')
        foreach ($each in $Events) {
            $writer.WriteLine((ConvertTo-Line $each))
        }
        $writer.WriteLine('</Events>')
    }
    finally {
        $writer.Dispose()
    }
    # A file with this ending is complete.
    Move-Item -LiteralPath $aside -Destination (Join-Path $Folder ($name + '.xml')) -Force
}

function Send-Server($Events) {
    $client = New-Object System.Net.Sockets.TcpClient
    try {
        $client.Connect($Server, $Port)
        $client.ReceiveTimeout = 60000
        $stream = $client.GetStream()
        if ($Tls) {
            $stream = New-Object System.Net.Security.SslStream($stream, $false)
            $stream.AuthenticateAsClient($Server)
        }
        $encoding = New-Object System.Text.UTF8Encoding($false)
        foreach ($each in $Events) {
            $bytes = $encoding.GetBytes((ConvertTo-Line $each) + "`n")
            $stream.Write($bytes, 0, $bytes.Length)
        }
        $stream.Flush()
        # The other side closes when it has read everything; before that, we cannot know.
        $client.Client.Shutdown([System.Net.Sockets.SocketShutdown]::Send)
        $rest = New-Object byte[] 1
        while ($client.Client.Receive($rest) -gt 0) { }
    }
    finally {
        $client.Close()
    }
}

$after = Get-Remembered
$newest = Get-NewestRecordId
if ($newest -lt $after) {
    # The log was cleared, and counts from one again.
    $after = 0
}
$found = @(Get-NewEvent -After $after)
if ($found.Count -eq 0) {
    Write-Verbose 'no new events'
    exit 0
}
$last = [long] $found[$found.Count - 1].RecordId
if ($PSCmdlet.ParameterSetName -eq 'Folder') {
    Write-Folder -Events $found -Last $last
}
else {
    Send-Server -Events $found
}
Save-Remembered -RecordId $last
Write-Verbose ('{0} events up to record {1}' -f $found.Count, $last)
