<#
.SYNOPSIS
Registers the scheduled run as a scheduled task under a group managed service account (gMSA).

.DESCRIPTION
The account has no password that anybody knows or stores: Windows keeps it. It needs the right "Log on as a batch
job" on this machine, Read on the program and the env file, and Modify on STATE_DIR. With LDAP_AUTH=kerberos it also
signs in to the directory, so that the env file holds no password at all.

One task for each env file: run the script once for every tenant, each with its own -Name and -EnvFile.
A task of the same name is replaced. The source photo-connector is registered in the Application event log, so that
its events are shown without a preface. Run it in an elevated Windows PowerShell 5.1 or newer.

With -Check, `photo-connector check` is run once as the account, by a task of its own, and what it says is shown: what
your own account may read or reach says nothing about the gMSA. No scheduled task is registered then.

.EXAMPLE
.\register-task.ps1 -Account 'CONTOSO\svc-photo$' -EnvFile C:\ProgramData\photo-connector\contoso.env

.EXAMPLE
.\register-task.ps1 -Account 'CONTOSO\svc-photo$' -EnvFile C:\ProgramData\photo-connector\contoso.env -Check

.EXAMPLE
.\register-task.ps1 -Account 'CONTOSO\svc-photo$' -EnvFile D:\photos\fabrikam.env -Name fabrikam -At 03:15 -WhatIf
#>
#Requires -Version 5.1
#Requires -RunAsAdministrator
[CmdletBinding(SupportsShouldProcess)]
param(
    # The gMSA, as DOMAIN\name$.
    [Parameter(Mandatory)]
    [ValidatePattern('^[^\\]+\\[^\\]+\$$')]
    [string] $Account,

    # The settings of this tenant.
    [Parameter(Mandatory)]
    [string] $EnvFile,

    # What is started.
    [string] $Program = 'C:\Program Files\photo-connector\Scripts\photo-connector.exe',

    # The time of day, by this machine's clock.
    [datetime] $At = '01:30',

    # The task's name below \photo-connector\; by default the env file's.
    [string] $Name,

    # Run `check` as the account and show what it says, instead of registering the scheduled run.
    [switch] $Check
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

foreach ($file in $Program, $EnvFile) {
    if (-not (Test-Path -LiteralPath $file -PathType Leaf)) {
        throw "There is no file $file. Name the right one by -Program or -EnvFile."
    }
}
$Program = (Resolve-Path -LiteralPath $Program).ProviderPath
$EnvFile = (Resolve-Path -LiteralPath $EnvFile).ProviderPath
if (-not $Name) {
    $Name = [IO.Path]::GetFileNameWithoutExtension($EnvFile)
}
if (-not $Name) {
    $Name = 'photo-connector'
}

# The module is part of RSAT and need not be here; where it is, a gMSA that this machine may not use is reported now.
if (Get-Command -Name Test-ADServiceAccount -ErrorAction SilentlyContinue) {
    $plain = $Account.Split('\')[1].TrimEnd('$')
    if (-not (Test-ADServiceAccount -Identity $plain)) {
        throw ("This machine may not use $Account. Put it into PrincipalsAllowedToRetrieveManagedPassword, " +
            "restart it, and run Install-ADServiceAccount $plain.")
    }
}

# Password is the logon type of a gMSA: Windows asks a domain controller for it, nobody types one.
$principal = New-ScheduledTaskPrincipal -UserId $Account -LogonType Password -RunLevel Limited

if ($Check) {
    if (-not $PSCmdlet.ShouldProcess($EnvFile, "Run photo-connector check as $Account")) {
        return
    }
    $folder = Join-Path $env:SystemRoot "Temp\photo-connector-check-$([guid]::NewGuid())"
    $said = Join-Path $folder 'check.txt'
    $once = "check $([guid]::NewGuid())"
    New-Item -ItemType Directory -Path $folder | Out-Null
    try {
        # It names people: only this account and administrators read it.
        & icacls.exe $folder /inheritance:r /grant:r "${Account}:(OI)(CI)M" '*S-1-5-18:(OI)(CI)F' '*S-1-5-32-544:(OI)(CI)F' | Out-Null
        $line = "/c `"`"$Program`" check --env-file `"$EnvFile`" > `"$said`" 2>&1`""
        $try = New-ScheduledTaskAction -Execute "$env:SystemRoot\System32\cmd.exe" -Argument $line `
            -WorkingDirectory (Split-Path -Parent $EnvFile)
        Register-ScheduledTask -TaskPath '\photo-connector\' -TaskName $once -Action $try -Principal $principal | Out-Null
        Start-ScheduledTask -TaskPath '\photo-connector\' -TaskName $once
        $until = (Get-Date).AddMinutes(15)
        do {
            Start-Sleep -Seconds 2
            $state = (Get-ScheduledTask -TaskPath '\photo-connector\' -TaskName $once).State
        } while ($state -in 'Running', 'Queued' -and (Get-Date) -lt $until)
        if (Test-Path -LiteralPath $said) {
            Get-Content -LiteralPath $said -Encoding UTF8
        }
        $code = (Get-ScheduledTaskInfo -TaskPath '\photo-connector\' -TaskName $once).LastTaskResult
        Write-Host "check ended with $code (0 all well, 3 warnings, 5 something failed, 2 settings)."
    }
    finally {
        Unregister-ScheduledTask -TaskPath '\photo-connector\' -TaskName $once -Confirm:$false -ErrorAction SilentlyContinue
        Remove-Item -LiteralPath $folder -Recurse -Force -ErrorAction SilentlyContinue
    }
    return
}

$action = New-ScheduledTaskAction -Execute "`"$Program`"" -Argument "sync --env-file `"$EnvFile`"" `
    -WorkingDirectory (Split-Path -Parent $EnvFile)
$trigger = New-ScheduledTaskTrigger -Daily -At $At -RandomDelay (New-TimeSpan -Minutes 45)
# As text without an offset it is this machine's clock, in summer and in winter; the cmdlet itself writes UTC.
$trigger.StartBoundary = $At.ToString('yyyy-MM-ddTHH:mm:ss', [Globalization.CultureInfo]::InvariantCulture)
# A missed run is started later; the first run of a big tenant may last longer than the usual three days.
$settings = New-ScheduledTaskSettingsSet -StartWhenAvailable -MultipleInstances IgnoreNew `
    -ExecutionTimeLimit ([TimeSpan]::Zero) -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries

if (-not [Diagnostics.EventLog]::SourceExists('photo-connector') -and
    $PSCmdlet.ShouldProcess('photo-connector', 'Register the source in the Application event log')) {
    # Without a message file of its own .NET's is taken, which shows the text of every event as it is.
    [Diagnostics.EventLog]::CreateEventSource('photo-connector', 'Application')
}

if ($PSCmdlet.ShouldProcess("\photo-connector\$Name", "Register a task that runs as $Account every day at $($At.ToString('HH:mm'))")) {
    $task = @{
        TaskPath    = '\photo-connector\'
        TaskName    = $Name
        Description = "photo-connector: the scheduled run for $EnvFile"
        Action      = $action
        Trigger     = $trigger
        Principal   = $principal
        Settings    = $settings
        Force       = $true
    }
    Register-ScheduledTask @task | Out-Null
    Write-Host "Registered \photo-connector\$Name. Try it now: Start-ScheduledTask -TaskPath \photo-connector\ -TaskName $Name"
    Write-Host 'Its last exit code: (Get-ScheduledTaskInfo -TaskPath \photo-connector\ -TaskName' "$Name).LastTaskResult"
    # In single quotes: in double ones PowerShell takes the $ at the end of the account for the begin of a variable.
    $grants = "'${Account}:R' '*S-1-5-18:F' '*S-1-5-32-544:F'"
    Write-Host "Only the service may read the settings: icacls '$($EnvFile.Replace("'", "''"))' /inheritance:r /grant:r $grants"
    Write-Host 'Try it as the service: run this script again with -Check.'
}
